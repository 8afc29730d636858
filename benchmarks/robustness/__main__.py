"""Measure what bad images cost in accuracy.

The score of an engine where the post-disaster image is blurred, compressed, too dark or bright,
or not registered, at several levels each. `--image` makes the image before worse, or both; what
is not registered is always the post image, for the truth lies on the other. Every figure, the
clean one too, leaves out a border as wide as the largest misregistration, where the moved image
has nothing that was seen; all are of the same pixels, and the clean score can differ a little
from that of the accuracy command.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from benchmarks.robustness.corruptions import CORRUPTIONS, Image
from runtime import cli
from runtime.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np

    from runtime.engine import Engine
    from runtime.score import Counts
    from train.xbd import Tile

Levels = dict[str, list[float]]
"""Of each corruption, by its name."""

Point = tuple[str, float]
CLEAN: Point = ("clean", 0)

_CHANGED = {
    "post": "the post image is changed",
    "pre": "the pre image is changed",
    "both": "both images are changed",
}


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.robustness", description=__doc__)
    p.add_argument("--engine", required=True, type=Path, metavar="DIR", help="engine folder")
    p.add_argument("--data", required=True, type=Path, metavar="DIR", help="xBD data set")
    p.add_argument(
        "--split", metavar="NAME", default="test", help="labelled split of it (default: test)"
    )
    p.add_argument(
        "--tiles", type=int, metavar="N", help="N tiles, spread over the split (default: all)"
    )
    for name, each in CORRUPTIONS.items():
        p.add_argument(
            f"--{name}",
            nargs="+",
            type=each.kind,
            default=list(each.levels),
            metavar="LEVEL",
            help=f"{each.unit} (default: {' '.join(map(str, each.levels))})",
        )
    p.add_argument(
        "--image",
        choices=get_args(Image),
        default="post",
        help="which image is made worse (default: post)",
    )
    p.add_argument(
        "--threads", type=int, metavar="N", help="processor threads (default: physical cores)"
    )
    p.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    levels: Levels = {name: getattr(args, name) for name in CORRUPTIONS}
    for name, each in CORRUPTIONS.items():
        each.check(f"--{name}", levels[name])
    from tqdm import tqdm

    from benchmarks.dataset import describe_data
    from benchmarks.engines import identify
    from benchmarks.machine import describe_machine
    from runtime.engine import load_engine
    from runtime.files import check_file, write_json
    from train.evaluate import labelled_tiles

    if args.out is not None:
        check_file(args.out)
    tiles = spread(labelled_tiles(args.data, args.split), args.tiles)
    with load_engine(args.engine, args.threads) as engine:
        found = measure(engine, tqdm(tiles, desc=args.engine.name, unit="tile"), levels, args.image)
        record = {
            "kind": "robustness",
            "engine": identify(args.engine, engine.manifest),
            "data": describe_data(args.data, args.split, tiles),
            "machine": describe_machine(),
            "image": args.image,
            "border": border(levels),
            "clean": _figures(found[CLEAN]),
            "curves": {
                name: {
                    "unit": CORRUPTIONS[name].unit,
                    "points": [
                        {"level": level, **_figures(found[name, level])} for level in levels[name]
                    ],
                }
                for name in levels
            },
        }
    if args.out is not None:
        write_json(args.out, record)
    print(json.dumps(record, indent=2) if args.json else table(record))


def spread(tiles: Sequence[Tile], count: int | None) -> Sequence[Tile]:
    """`count` tiles at equal distances in the order of their names, so of every disaster.

    Raises:
        ConfigError: count is below 1.
    """
    if count is None or count >= len(tiles):
        return tiles
    if count < 1:
        raise ConfigError(f"--tiles {count}: expected at least 1")
    return [tiles[each * len(tiles) // count] for each in range(count)]


def border(levels: Levels) -> int:
    """Pixels at each edge of a tile that are not counted."""
    return max(map(int, levels["misregistration"]))


def measure(
    engine: Engine, tiles: Iterable[Tile], levels: Levels, image: Image = "post"
) -> dict[Point, Counts]:
    """Counts by corruption and level, those of `CLEAN` first; each tile is read once.

    Raises:
        DataError: a tile that the engine's size does not divide, or that is all border.
    """
    from benchmarks.accuracy.windows import predict_tile
    from runtime.score import Counts

    found = {CLEAN: Counts()}
    found |= {(name, level): Counts() for name in levels for level in levels[name]}
    for turn, tile in enumerate(tiles):
        clean = tile.images()
        inner = _inside(tile, clean[0], border(levels))
        targets = [target[inner] for target in tile.targets(*clean[0].shape[:2])]
        for (name, level), counts in found.items():
            known = name in levels
            pair = CORRUPTIONS[name].worsen(clean, level, turn, image) if known else clean
            damage = predict_tile(engine, tile.name, *pair).damage[inner]
            counts.add(damage, damage, *targets)
    return found


def _inside(tile: Tile, image: np.ndarray, edge: int) -> tuple[slice, slice]:
    height, width = image.shape[:2]
    if min(height, width) <= 2 * edge:
        raise DataError(
            f"{tile.name}: the tile is {height}x{width}, nothing is left inside a border of "
            f"{edge} pixels; choose a smaller --misregistration"
        )
    return slice(edge, height - edge), slice(edge, width - edge)


def table(record: dict[str, Any]) -> str:
    engine, data, clean = record["engine"], record["data"], record["clean"]
    lines = [
        f"{engine['name']}: {engine['precision']} on {engine['backend']}, {data['tiles']} tiles of "
        f"{data['name']}/{data['split']}; {_CHANGED[record['image']]}, {record['border']} pixels "
        "at each edge are not counted",
        f"{'':<32}{'level':>7}{'score':>9}{'change':>9}{'localization F1':>17}{'damage F1':>11}",
        _row("clean", "", clean, clean),
    ]
    for name, curve in record["curves"].items():
        title = f"{name} ({curve['unit']})"
        lines += [_row(title, f"{p['level']:g}", p, clean) for p in curve["points"]]
    return "\n".join(lines)


def _row(title: str, level: str, point: dict[str, Any], clean: dict[str, Any]) -> str:
    change = point["score"] - clean["score"]
    return (
        f"{title:<32}{level:>7}{point['score']:>9.4f}{change:>+9.4f}"
        f"{point['localization_f1']:>17.4f}{point['damage_f1']:>11.4f}"
    )


def _figures(counts: Counts) -> dict[str, float]:
    return {
        "score": counts.score,
        "localization_f1": counts.localization_f1,
        "damage_f1": counts.damage_f1,
    }


if __name__ == "__main__":
    cli.run(parser(), main)

"""Train without each disaster in turn, and score the network on it.

How well a network maps a disaster that it never saw: the score that a new one may expect. The
weights are those of the last epoch, which nothing was chosen by, and the tiles are all of the
disaster's in the training splits. Finished runs are not repeated, and interrupted ones go on.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.training import CLASSES, FIGURES, Variant, figures_of, run_training
from runtime import cli
from runtime.errors import ConfigError

if TYPE_CHECKING:
    from runtime.score import Counts
    from train.config import TrainConfig
    from train.xbd import Tile

COLUMNS = (*FIGURES, *CLASSES)
RECORD = "left-out.json"
MEAN, POOLED, SEEN = "mean", "together", "seen"
"""Lines below the disasters: the mean of theirs; the score of all their pixels at once; and the
mean of the runs' own scores, on tiles to validate on of the disasters that they learnt."""

Row = dict[str, float | None]
"""A figure is None where the tiles hold nothing of its class."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.leave_one_out", description=__doc__)
    p.add_argument(
        "--config", required=True, type=Path, metavar="YAML", help="configuration to train"
    )
    p.add_argument("--data", required=True, type=Path, metavar="DIR", help="xBD data set")
    p.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the runs")
    p.add_argument("overrides", nargs="*", metavar="key=value", help="changes of the configuration")
    p.add_argument(
        "--disasters",
        nargs="+",
        metavar="NAME",
        help="those to leave out, one at a time (default: all of the training splits)",
    )
    p.add_argument(
        "--seeds",
        nargs="+",
        type=int,
        default=[0],
        metavar="N",
        help="seeds to train with (default: 0)",
    )
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    from train.config_file import load_config

    config = load_config(args.config, args.overrides)
    tiles = disasters(args.data, config, args.disasters)
    counted: dict[str, list[Counts]] = {}
    seen: list[Row] = []
    for name, left_out in tiles.items():
        given = [*args.overrides, f"data.leave_out={json.dumps([*config.data.leave_out, name])}"]
        variant = Variant(name, args.config, tuple(given))
        counted[name] = []
        for seed in args.seeds:
            cli.note(f"without {name}, seed {seed}")
            run = args.out / name / f"seed-{seed}"
            run_training(variant, seed, args.data, run)
            seen.append({**figures_of(run)})
            counted[name].append(score(run, left_out))
    found = rows(counted, seen)
    sizes = {name: len(each) for name, each in tiles.items()}
    print(json.dumps(found, indent=2) if args.json else table(found, sizes))


def disasters(
    data: Path, config: TrainConfig, wanted: Sequence[str] | None
) -> dict[str, list[Tile]]:
    """Each one to leave out, with its tiles in the training splits; nothing is trained yet.

    Raises:
        ConfigError: one that is not there, or without which nothing is left.
        DataError: a split is absent.
    """
    from train.splits import divide, tiles_of

    divide(data, config.data)
    tiles: dict[str, list[Tile]] = {}
    for tile in tiles_of(data, config.data.train_split):
        if tile.disaster not in config.data.leave_out:
            tiles.setdefault(tile.disaster, []).append(tile)
    names = sorted(tiles) if wanted is None else list(dict.fromkeys(wanted))
    unknown = [name for name in names if name not in tiles]
    if unknown:
        raise ConfigError(
            f"--disasters {' '.join(unknown)}: no tile of it in split "
            f"{', '.join(config.data.train_split)} (found: {', '.join(sorted(tiles))})"
        )
    if len(tiles) < 2:
        raise ConfigError(
            f"{data}: only {', '.join(tiles)} is there; to leave one out takes two or more"
        )
    for name in names:
        without = {"leave_out": (*config.data.leave_out, name)}
        divide(data, config.data.model_copy(update=without))
    return {name: tiles[name] for name in names}


def score(run: Path, tiles: Sequence[Tile]) -> Counts:
    """What the run's final weights make of `tiles`; kept in the run's folder."""
    import numpy as np

    from runtime.files import sha256, write_json
    from runtime.score import Counts
    from train.checkpoint import load_checkpoint
    from train.distributed import pick_device
    from train.evaluate import score_tiles
    from train.progress import progress

    weights, path = run / "last.pt", run / RECORD
    subject = {"checkpoint": sha256(weights), "tiles": [tile.name for tile in tiles]}
    if path.exists():
        kept = json.loads(path.read_text())
        if kept["of"] == subject:
            return Counts(np.array(kept["localization"]), np.array(kept["confusion"]))
    network = load_checkpoint(weights).network().to(pick_device("auto"))
    with progress("score", "tile") as bar:
        counts = score_tiles(network, bar(list(tiles)))
    write_json(
        path,
        {
            "of": subject,
            "localization": counts.localization.tolist(),
            "confusion": counts.confusion.tolist(),
        },
    )
    return counts


def rows(counted: Mapping[str, Sequence[Counts]], seen: Sequence[Row]) -> dict[str, Row]:
    """A row of each disaster, the mean over its seeds, then MEAN, POOLED and SEEN.

    counted: by disaster, one for each seed.
    """
    found = {name: average([row(each) for each in seeds]) for name, seeds in counted.items()}
    mean = average(list(found.values()))
    by_seed = [[*each] for each in zip(*counted.values(), strict=True)]
    together = [row(sum(each[1:], each[0])) for each in by_seed]
    return {**found, MEAN: mean, POOLED: average(together), SEEN: average(seen)}


def row(counts: Counts) -> Row:
    found: Row = {
        "score": counts.score,
        "localization_f1": counts.localization_f1,
        "damage_f1": counts.damage_f1,
    }
    for name, tally in zip(CLASSES, counts.class_tallies, strict=True):
        found[name] = tally.f1 if tally.actual else None
    return found


def average(given: Sequence[Row]) -> Row:
    """Of each figure, over the rows that have it."""
    means: Row = {}
    for name in COLUMNS:
        values = [value for each in given if (value := each[name]) is not None]
        means[name] = statistics.mean(values) if values else None
    return means


def table(found: Mapping[str, Row], sizes: Mapping[str, int]) -> str:
    """sizes: tiles of each disaster."""
    heads = ["left out", "tiles", "score", "loc F1", "damage F1", *CLASSES]
    lines = [heads]
    for name, figures in found.items():
        shown = [f"{v:.3f}" if (v := figures[each]) is not None else "-" for each in COLUMNS]
        tiles = sum(sizes.values()) if name == POOLED else sizes.get(name, "")
        lines.append([name, str(tiles), *shown])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in lines
    ]
    notes = [
        f"{POOLED}: the score of all pixels left out, each mapped by a network that did not learn "
        "its disaster",
        f"{SEEN}: the runs' score where they validate, on disasters that they learnt",
    ]
    if any(found[name][each] is None for name in sizes for each in CLASSES):
        notes.append(
            "- not in the truth; the official damage F1 counts such a class as 0, so a disaster's "
            f"score says little there, and {POOLED} says more"
        )
    return "\n".join([*aligned, *notes])


if __name__ == "__main__":
    cli.run(parser(), main)

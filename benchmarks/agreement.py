"""Measure where engines disagree, every one with the first.

No truth is needed, so any split will do, also one without labels. All engines take turns on each
tile, which is read once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli
from runtime.damage import BACKGROUND, CLASS_NAMES
from runtime.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np

    from runtime.engine import Engine, Prediction
    from train.xbd import Tile

_VALUES, _LEVELS = len(CLASS_NAMES), 256


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.agreement", description=__doc__)
    p.add_argument(
        "--engine",
        required=True,
        action="append",
        type=Path,
        metavar="DIR",
        help="engine folder; repeatable, the others are compared with the first",
    )
    p.add_argument("--data", required=True, type=Path, metavar="DIR", help="xBD data set")
    p.add_argument(
        "--split",
        metavar="NAME",
        default="test",
        help="split of it, labels are not needed (default: test)",
    )
    p.add_argument(
        "--threads", type=int, metavar="N", help="processor threads (default: physical cores)"
    )
    p.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    if len(args.engine) < 2:
        raise ConfigError("--engine: expected two or more; name what to compare with first")
    from tqdm import tqdm

    from benchmarks.dataset import describe_data
    from benchmarks.engines import identify
    from benchmarks.machine import describe_machine
    from runtime.engine import load_engine
    from runtime.files import check_file, write_json
    from train.xbd import find_tiles

    if args.out is not None:
        check_file(args.out)
    tiles = find_tiles(args.data, args.split, labelled=False)
    with contextlib.ExitStack() as stack:
        engines = [stack.enter_context(load_engine(each, args.threads)) for each in args.engine]
        check_sizes(engines)
        found = compare(engines, tqdm(tiles, desc="agreement", unit="tile"))
        first, *others = (identify(e.folder, e.manifest) for e in engines)
        record = {
            "kind": "agreement",
            "reference": first,
            "engines": [
                {"engine": identity, **each.as_dict()}
                for identity, each in zip(others, found, strict=True)
            ],
            "data": describe_data(args.data, args.split, tiles),
            "machine": describe_machine(),
        }
    if args.out is not None:
        write_json(args.out, record)
    print(json.dumps(record, indent=2) if args.json else table(record))


@dataclass(eq=False)
class Agreement:
    """One engine's maps against the reference's on the same tiles.

    confusion: int64 [5,5], pixels by the reference's class x the engine's class.
    levels, building_levels: int64 [2,256], how often the reference and the engine gave each
        confidence level; over all pixels, and over those that both call a building.
    tiles: name, differing pixels and pixels of each tile.
    """

    confusion: np.ndarray = field(default_factory=lambda: _zeros(_VALUES, _VALUES))
    levels: np.ndarray = field(default_factory=lambda: _zeros(2, _LEVELS))
    building_levels: np.ndarray = field(default_factory=lambda: _zeros(2, _LEVELS))
    tiles: list[dict[str, Any]] = field(default_factory=list)

    def add(self, name: str, reference: Prediction, maps: Prediction) -> None:
        """Count one tile's maps, uint8 [H, W]."""
        import numpy as np

        ours, theirs = reference.damage, maps.damage
        cells = ours.ravel().astype(np.int64) * _VALUES + theirs.ravel()
        self.confusion += np.bincount(cells, minlength=_VALUES**2).reshape(_VALUES, _VALUES)
        both = (ours != BACKGROUND) & (theirs != BACKGROUND)
        for row, confidence in enumerate((reference.confidence, maps.confidence)):
            self.levels[row] += np.bincount(confidence.ravel(), minlength=_LEVELS)
            self.building_levels[row] += np.bincount(confidence[both], minlength=_LEVELS)
        differing = int(np.count_nonzero(ours != theirs))
        self.tiles.append({"name": name, "differing": differing, "pixels": ours.size})

    @property
    def agreement(self) -> float:
        """Share of all pixels with the same class."""
        return float(self.confusion.trace() / self.confusion.sum())

    @property
    def building_agreement(self) -> float | None:
        """The same among pixels that either calls a building; None where neither has any."""
        either = self.confusion.sum() - self.confusion[BACKGROUND, BACKGROUND]
        same = self.confusion.trace() - self.confusion[BACKGROUND, BACKGROUND]
        return float(same / either) if either else None

    @property
    def class_f1(self) -> dict[str, float]:
        """F1 of the engine's labels against the reference's, of each class that either has."""
        from runtime.score import Tally

        return {
            name: Tally.of_class(self.confusion, value).f1
            for value, name in enumerate(CLASS_NAMES)
            if self.confusion[value].any() or self.confusion[:, value].any()
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "agreement": self.agreement,
            "building_agreement": self.building_agreement,
            "class_f1": self.class_f1,
            "confidence_shift": shift(self.levels),
            "building_confidence_shift": shift(self.building_levels),
            "confusion": self.confusion.tolist(),
            "tiles": self.tiles,
        }


def compare(engines: Sequence[Engine], tiles: Iterable[Tile]) -> list[Agreement]:
    """Every engine but the first against the first, in order.

    Raises:
        DataError: a tile that the engines' size does not divide.
    """
    from benchmarks.accuracy.windows import predict_tile

    found = [Agreement() for _ in engines[1:]]
    for tile in tiles:
        pair = tile.images()
        reference, *others = (predict_tile(engine, tile.name, *pair) for engine in engines)
        for agreement, maps in zip(found, others, strict=True):
            agreement.add(tile.name, reference, maps)
    return found


def check_sizes(engines: Sequence[Engine]) -> None:
    """Raises: ConfigError where one takes another size than the first, so other context."""
    first = engines[0]
    for engine in engines:
        if (engine.height, engine.width) != (first.height, first.width):
            raise ConfigError(
                f"{engine.folder}: takes {engine.height}x{engine.width}, {first.folder} takes "
                f"{first.height}x{first.width}; compare engines of one size"
            )


def shift(levels: np.ndarray) -> float | None:
    """How far confidence moved from one row of int64 [2,256] to the other; None where nothing
    was counted. See `calibration.gate.confidence_shift`."""
    from calibration.gate import confidence_shift

    return confidence_shift(*levels) if levels.sum(axis=1).all() else None


def table(record: dict[str, Any]) -> str:
    data, names = record["data"], CLASS_NAMES[1:]
    lines = [
        f"against {record['reference']['name']}, {data['tiles']} tiles of "
        f"{data['name']}/{data['split']}; F1 is of one engine's labels against the other's",
        f"{'':<28}{'agreement':>11}{'buildings':>11}{'confidence':>12}"
        + "".join(f"{name:>14}" for name in names),
    ]
    for each in record["engines"]:
        classes = (_text(each["class_f1"].get(name), ".4f") for name in names)
        worst = max(each["tiles"], key=lambda tile: tile["differing"] / tile["pixels"])
        lines += [
            f"{each['engine']['name']:<28}{each['agreement']:>11.4%}"
            f"{_text(each['building_agreement'], '.4%'):>11}"
            f"{_text(each['building_confidence_shift'], '.4f'):>12}"
            + "".join(f"{text:>14}" for text in classes),
            f"  most on {worst['name']}: {worst['differing'] / worst['pixels']:.4%} differ",
        ]
    return "\n".join([*lines, "confidence: how far it moved where both see a building"])


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _zeros(*shape: int) -> np.ndarray:
    import numpy as np

    return np.zeros(shape, np.int64)


if __name__ == "__main__":
    cli.run(parser(), main)

"""Score a checkpoint on a labelled split.

The official xView2 score with its parts, the confusion of the damage classes, the same by
building, and every disaster on its own.
"""

from __future__ import annotations

import argparse
import functools
import json
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli
from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES
from runtime.errors import DataError
from train.device_option import add_device

if TYPE_CHECKING:
    import numpy as np

    from runtime.score import Counts, Tally
    from train.footprint_score import FootprintCounts
    from train.model import DualHRNet
    from train.xbd import Footprint, Tile

_CLASSES = CLASS_NAMES[DAMAGE_CLASSES[0] :]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was counted over some tiles; those of parts add up to that of the whole."""

    tiles: int
    pixels: Counts
    footprints: FootprintCounts
    outside: tuple[str, ...] = ()
    """Labels whose footprints all lie outside of their tile."""

    @staticmethod
    def of_tile(
        damage: np.ndarray,
        targets: tuple[np.ndarray, np.ndarray],
        footprints: Sequence[Footprint],
    ) -> Evaluation:
        """Of one tile.

        Args:
            damage: uint8 [H, W], predicted classes.
            targets: building and damage target, as from `Tile.targets`.
            footprints: of the post-disaster label.
        """
        from runtime.score import Counts
        from train.footprint_score import FootprintCounts

        one = Evaluation(1, Counts(), FootprintCounts())
        one.pixels.add(damage, damage, *targets)
        one.footprints.add(damage, footprints)
        return one

    def __add__(self, other: Evaluation) -> Evaluation:
        return Evaluation(
            self.tiles + other.tiles,
            self.pixels + other.pixels,
            self.footprints + other.footprints,
            self.outside + other.outside,
        )

    @property
    def absent(self) -> tuple[str, ...]:
        """Damage classes that no target pixel has. The official damage F1 takes their F1 as
        0 all the same, so it is close to 0 wherever one is absent."""
        tallies = zip(_CLASSES, self.pixels.class_tallies, strict=True)
        return tuple(name for name, tally in tallies if tally.actual == 0)

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "tiles": self.tiles,
            **self.pixels.as_dict(),
            "absent": list(self.absent),
            "outside": list(self.outside),
            "buildings": self.footprints.as_dict(),
        }


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m train.evaluate", description=__doc__)
    p.add_argument(
        "--checkpoint", required=True, type=Path, metavar="CKPT", help="checkpoint to score"
    )
    p.add_argument("--data", required=True, type=Path, metavar="DIR", help="xBD data set")
    p.add_argument(
        "--split", metavar="NAME", default="test", help="labelled split of it (default: test)"
    )
    p.add_argument(
        "--threshold",
        type=float,
        default=0.5,
        metavar="P",
        help="building probability from which a pixel is building (default: 0.5)",
    )
    add_device(p)
    p.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    from runtime.files import check_file, write_json
    from train.checkpoint import load_checkpoint
    from train.distributed import pick_device
    from train.model.decode import check_threshold
    from train.progress import progress

    check_threshold(args.threshold)
    if args.out is not None:
        check_file(args.out)
    device = pick_device(args.device)
    tiles = labelled_tiles(args.data, args.split)
    network = load_checkpoint(args.checkpoint).network().to(device)
    with progress(f"evaluate {args.split}", "tile") as bar:
        disasters = evaluate(network, bar(tiles), args.threshold)
    whole = functools.reduce(operator.add, disasters.values())
    if whole.outside:
        cli.note(
            f"note: {len(whole.outside)} of {whole.tiles} tiles with a label whose footprints all "
            f"lie outside of the tile, first {whole.outside[0]}; is it the right label?"
        )
    record = {
        "checkpoint": str(args.checkpoint),
        "data": str(args.data),
        "split": args.split,
        "threshold": args.threshold,
        **whole.as_dict(),
        "disasters": {name: each.as_dict() for name, each in disasters.items()},
    }
    if args.out is not None:
        write_json(args.out, record)
    print(json.dumps(record, indent=2) if args.json else report(whole, disasters))


def labelled_tiles(root: Path, split: str) -> list[Tile]:
    """`find_tiles`, which says of a split without labels where there are some.

    Raises:
        DataError: see `find_tiles`; the split has no label at all.
    """
    from train.xbd import find_tiles, splits

    if not any(tile.labelled for tile in find_tiles(root, split, labelled=False)):
        raise DataError(
            f"{Path(root) / split}: has no labels to compare with; choose a labelled split "
            f"(found here: {', '.join(splits(root)) or 'none'})"
        )
    return find_tiles(root, split)


def damage_maps(
    network: DualHRNet, tiles: Iterable[Tile], threshold: float = 0.5
) -> Iterator[tuple[Tile, np.ndarray]]:
    """Every tile with its predicted classes, uint8 [H, W]; one inference each, whole tiles.

    Args:
        network: in eval mode, on any device.
        threshold: building probability from which a pixel is building.
    """
    from train.ahead import ahead
    from train.inference import predict_maps

    for tile, images in ahead(lambda tile: (tile, tile.images()), tiles):
        damage, _, _ = predict_maps(network, *images, threshold)
        yield tile, damage


def score_tiles(network: DualHRNet, tiles: Iterable[Tile], threshold: float = 0.5) -> Counts:
    """Counts of the official score over labelled tiles."""
    from runtime.score import Counts

    counts = Counts()
    for tile, damage in damage_maps(network, tiles, threshold):
        counts.add(damage, damage, *tile.targets(*damage.shape))
    return counts


def evaluate(
    network: DualHRNet, tiles: Iterable[Tile], threshold: float = 0.5
) -> dict[str, Evaluation]:
    """Everything there is to count over labelled tiles, by disaster in order of name."""
    return by_disaster(
        (tile, _of_tile(tile, damage)) for tile, damage in damage_maps(network, tiles, threshold)
    )


def _of_tile(tile: Tile, damage: np.ndarray) -> Evaluation:
    from train.xbd import label_outside

    targets = tile.targets(*damage.shape)
    one = Evaluation.of_tile(damage, targets, tile.buildings[1])
    label = label_outside(tile, *targets)
    return replace(one, outside=(str(label),)) if label else one


def by_disaster(tiles: Iterable[tuple[Tile, Evaluation]]) -> dict[str, Evaluation]:
    """The sum over the tiles of each disaster, in order of its name."""
    found: dict[str, Evaluation] = {}
    for tile, one in tiles:
        found[tile.disaster] = found[tile.disaster] + one if tile.disaster in found else one
    return dict(sorted(found.items()))


def summary(counts: Counts) -> str:
    """The score and its parts in a few lines."""
    lines = [
        f"score {counts.score:.4f} = 0.3 x localization F1 {counts.localization_f1:.4f} "
        f"+ 0.7 x damage F1 {counts.damage_f1:.4f}"
    ]
    lines += [
        f"  {name:<13} F1 {f1:.4f}" for name, f1 in zip(_CLASSES, counts.class_f1, strict=True)
    ]
    return "\n".join(lines)


def report(whole: Evaluation, disasters: dict[str, Evaluation]) -> str:
    """Everything as tables. A class that the truth does not hold has "-" for its figures."""
    pixels, footprints = whole.pixels, whole.footprints
    blocks = [
        [summary(pixels).splitlines()[0]],
        _rates("by pixel", "localization", pixels.localization_tally, pixels.class_tallies),
        _confusion("target pixels", pixels.confusion, first=DAMAGE_CLASSES[0]),
        _rates("by building", "detection", footprints.detection_tally, footprints.class_tallies),
        _confusion("target buildings", footprints.confusion, first=0),
        _by_disaster(disasters),
    ]
    return "\n\n".join("\n".join(block) for block in blocks)


def _rates(title: str, first: str, detection: Tally, classes: Sequence[Tally]) -> list[str]:
    rows = [[title, "precision", "recall", "F1", "in truth"]]
    for name, tally in zip((first, *_CLASSES), (detection, *classes), strict=True):
        figures = (tally.precision, tally.recall, tally.f1)
        shown = [f"{each:.4f}" if tally.actual else "-" for each in figures]
        rows.append([name, *shown, str(tally.actual)])
    return _aligned(rows)


def _confusion(title: str, confusion: np.ndarray, first: int) -> list[str]:
    """Rows from target class `first`, which may be 0: predicted where nothing is labelled."""
    names = ("false alarm", *_CLASSES)
    rows = [[f"{title} predicted as", "missed", *_CLASSES]]
    rows += [[name, *map(str, row)] for name, row in zip(names, confusion, strict=True)][first:]
    return _aligned(rows)


def _by_disaster(disasters: dict[str, Evaluation]) -> list[str]:
    rows = [["disaster", "tiles", "score", "localization F1", "damage F1", *_CLASSES]]
    for name, each in disasters.items():
        counts = each.pixels
        figures = (counts.score, counts.localization_f1, counts.damage_f1)
        classes = [f"{tally.f1:.4f}" if tally.actual else "-" for tally in counts.class_tallies]
        rows.append([name, str(each.tiles), *(f"{figure:.4f}" for figure in figures), *classes])
    notes = ["- not in the truth; the official damage F1 counts such a class as 0"]
    return _aligned(rows) + notes * any(each.absent for each in disasters.values())


def _aligned(rows: list[list[str]]) -> list[str]:
    """Columns side by side, the first to the left and numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]


if __name__ == "__main__":
    cli.run(parser(), main)

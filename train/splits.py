"""Which tiles a run learns from, which choose its best epoch, and which it never sees.

What chooses (the best epoch, the gate of an engine, the units that INT8 hurts) is not what is
reported: xBD's `hold` is for the one and its `test` for the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import ConfigError, DataError
from train.xbd import Tile, folders_of_splits, found_here, splits, survey

if TYPE_CHECKING:
    from train.data_config import DataConfig

CHOOSING, REPORTING, LEARNING = "hold", "test", "train"


@dataclass(frozen=True)
class Part:
    """Tiles of one use. problems: a line for each file that is none of a whole pair."""

    name: str
    """Of its splits, for a person."""
    tiles: list[Tile]
    problems: list[str]


@dataclass(frozen=True)
class Division:
    train: Part
    val: Part
    note: str | None = None
    """For a person: what the best epoch is chosen on, where that is not as it should be."""


def choosing_split(root: Path, advice: str) -> tuple[str, str | None]:
    """The split of `root` to choose on, and a note where it is not `hold`.

    Without one it is `test`, then another but `train`; one with labels, if there are any.

    advice: what to do where there is none.

    Raises:
        DataError: there is none.
    """
    folders = folders_of_splits(root)
    labelled = [name for name in splits(root) if name in folders]
    # A split to learn from does not choose, so labels on that one alone are as good as none.
    found = labelled if set(labelled) - {LEARNING} else folders
    others = [name for name in found if name not in (CHOOSING, REPORTING, LEARNING)]
    for name in (CHOOSING, REPORTING, *others):
        if name == CHOOSING and name in found:
            return name, None
        if name in found:
            return name, (
                f"note: {root} has no split {CHOOSING}, so split {name} chooses: a score on it is "
                "too good, report one on other tiles"
            )
    raise DataError(
        f"{root}: no split to choose on, {CHOOSING}, {REPORTING} or any but {LEARNING} (found "
        f"here: {found_here(root)}); {advice}"
    )


def divide(root: Path, data: DataConfig) -> Division:
    """The tiles to learn from and to validate on, none of a disaster that is left out.

    Raises:
        DataError: a split is absent; a tile is in two of the splits; or nothing is left of a part.
        ConfigError: no tile is of a disaster that is to be left out.
    """
    learnt = _part(root, data.train_split)
    note = None
    if data.val_share is not None:
        held = held_out(learnt.tiles, data.val_share)
        kept = [tile for tile in learnt.tiles if tile.name not in held]
        chosen = [tile for tile in learnt.tiles if tile.name in held]
        val = Part(f"{learnt.name} ({data.val_share:g} held out)", chosen, [])
        learnt = Part(learnt.name, kept, learnt.problems)
    elif data.val_split is not None:
        val = _part(root, data.val_split)
    else:
        advice = "name one as data.val_split, or set data.val_share=0.1"
        split, note = choosing_split(root, advice)
        val = _part(root, (split,))
    _check_left_out(root, data.leave_out, (learnt, val))
    return Division(_without(learnt, data.leave_out), _without(val, data.leave_out), note)


def held_out(tiles: Sequence[Tile], share: float) -> set[str]:
    """The names of that share of each disaster's tiles; of one tile of two or more at least.

    Which ones hangs on the tiles' names alone, so that it is the same for every run.
    """
    by_disaster: dict[str, list[str]] = {}
    for tile in tiles:
        by_disaster.setdefault(tile.disaster, []).append(tile.name)
    held: set[str] = set()
    for names in by_disaster.values():
        drawn = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
        # One tile of a disaster is learnt from, two or more are seen on both sides.
        count = min(max(round(share * len(names)), 1), len(names) - 1)
        held |= set(drawn[:count])
    return held


def tiles_of(root: Path, names: Sequence[str]) -> list[Tile]:
    """All whole tiles of some splits, by name."""
    return _part(root, names).tiles


def _part(root: Path, names: Sequence[str]) -> Part:
    """All tiles of the splits by name, whatever the order of the splits."""
    tiles: list[Tile] = []
    problems: list[str] = []
    where: dict[str, str] = {}
    for name in names:
        found, wrong = survey(root, name)
        problems += wrong
        for tile in found:
            first = where.setdefault(tile.name, name)
            if first != name:
                raise DataError(
                    f"{tile.pre}: a tile of this name is in split {first} too; a tile counts "
                    "once, remove it from one of the two"
                )
        tiles += found
    return Part(", ".join(names), sorted(tiles, key=lambda tile: tile.name), problems)


def _check_left_out(root: Path, names: Iterable[str], parts: Iterable[Part]) -> None:
    there = sorted({tile.disaster for part in parts for tile in part.tiles})
    for name in names:
        if name not in there:
            raise ConfigError(
                f"data.leave_out: no tile of disaster {name} in {root} (its splits that are used "
                f"hold: {', '.join(there) or 'none'})"
            )


def _without(part: Part, disasters: Sequence[str]) -> Part:
    tiles = [tile for tile in part.tiles if tile.disaster not in disasters]
    if disasters and part.tiles and not tiles:
        raise DataError(
            f"split {part.name}: holds no tile but of {', '.join(disasters)}, which data.leave_out "
            "names; leave out fewer, or take more splits"
        )
    return Part(part.name, tiles, part.problems)

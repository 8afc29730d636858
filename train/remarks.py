"""What is odd about a data set that can be trained on: no error, and yet seldom meant."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES
from train.check import TileFacts


def remarks(
    train_split: str, train: Sequence[TileFacts], val_split: str, val: Sequence[TileFacts]
) -> list[str]:
    """One line each: classes that no pixel shows, and images that are there more than once."""
    lines = _absent(train_split, train, "cannot be learnt")
    if val_split == train_split:
        lines.append(
            f"training and validation both use split {train_split}: the score says nothing about "
            "other places"
        )
        return lines + _outside(train_split, train) + _repeated(train_split, train)
    lines += _absent(val_split, val, "counts as F1 0, which brings the score near 0")
    lines += _outside(train_split, train) + _outside(val_split, val)
    lines += _repeated(train_split, train) + _repeated(val_split, val)
    return lines + shared(train_split, train, val_split, val)


def _absent(split: str, facts: Sequence[TileFacts], consequence: str) -> list[str]:
    if not any(fact.buildings for fact in facts):
        return [f"split {split}: holds no building at all; are these the right labels?"]
    pixels = sum(fact.pixels for fact in facts)
    absent = [CLASS_NAMES[value] for value in DAMAGE_CLASSES if pixels[value] == 0]
    if not absent:
        return []
    names = ", ".join(absent)
    return [f"split {split}: no pixel of {names}, which {consequence}"]


def _outside(split: str, facts: Sequence[TileFacts]) -> list[str]:
    labels = [fact.outside for fact in facts if fact.outside]
    if not labels:
        return []
    return [
        f"split {split}: {_tiles(len(labels))} with a label whose footprints all lie outside "
        f"of the tile, first {labels[0]}; is it the right label?"
    ]


def _repeated(split: str, facts: Sequence[TileFacts]) -> list[str]:
    """Tiles of the same images, under other names or by links, and pairs of one image."""
    lines = []
    first: dict[str, TileFacts] = {}
    again = [fact for fact in facts if first.setdefault(fact.content, fact) is not fact]
    if again:
        one, other = again[0].tile.name, first[again[0].content].tile.name
        lines.append(
            f"split {split}: {_tiles(len(again))} with the images of another, first {one}, as "
            f"{other}"
        )
    alike = [fact.tile.post for fact in facts if fact.alike]
    if alike:
        lines.append(
            f"split {split}: {_tiles(len(alike))} whose image after is the one before, first "
            f"{alike[0]}"
        )
    return lines


def shared(
    train_split: str, train: Sequence[TileFacts], val_split: str, val: Sequence[TileFacts]
) -> list[str]:
    """Tiles to validate on whose images are learnt from."""
    seen = {fact.content: fact for fact in train}
    both = [fact for fact in val if fact.content in seen]
    if not both:
        return []
    one, other = both[0].tile.name, seen[both[0].content].tile.name
    return [
        f"split {val_split}: {_tiles(len(both))} of {len(val)} with the same images as in "
        f"{train_split}, first {one} ({other} there): the score is too good"
    ]


def _tiles(count: int) -> str:
    return f"{count} tile{'s' if count > 1 else ''}"

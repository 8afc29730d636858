"""The rows of a sample as they are checked: by their own fields, or by what was corrected since."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from runtime.corrections import rings
from runtime.corrections.store import Correction
from runtime.counts.sample import Row, Sample, outline_of
from runtime.counts.sample_file import BUILDING, MISSED_DRAWN


@dataclass(frozen=True)
class Checked:
    """A row and what it is; of a cell, the missed ones by class, and those that are drawn there.

    class_seen: was the map's class in sight? Of what is known by a correction alone it was: who
        corrects sees what there is to be corrected. None: nobody says.
    conflict: a line, where the row says one thing and the corrections another.
    """

    row: Row
    true_class: str | None
    missed: dict[str, int] | None
    drawn: dict[str, int]
    class_seen: bool | None
    conflict: str | None = None

    @property
    def is_open(self) -> bool:
        return self.true_class is None and self.missed is None


def checked(sample: Sample) -> list[Checked]:
    """Each row by its own fields, or by what was corrected on the page since the draw."""
    corrections = sample.corrections.all()
    known = {each.building for each in sample.known}
    said: dict[int, str] = {
        each.building: each.new_class
        for each in corrections
        if each.building is not None and each.building not in known
    }
    centres = [
        (rings.centre([np.array(each.ring)]), each.new_class)
        for each in _drawn_since(sample, corrections)
        if each.ring
    ]
    found = []
    for row in sample.rows:
        if row.kind == BUILDING:
            found.append(_building(sample, row, said.get(row.building or 0)))
            continue
        left, top, right, bottom = row.corners
        inside = Counter(
            name for (x, y), name in centres if left <= x < right and top <= y < bottom
        )
        found.append(_cell(sample, row, dict(inside)))
    return found


def _building(sample: Sample, row: Row, other: str | None) -> Checked:
    """other: what the corrections say."""
    conflict = None
    if row.true_class and other and row.true_class != other:
        conflict = (
            f"{sample.path}: row {row.id} says {row.true_class}, the correction of "
            f"building {row.building} says {other}; make them agree"
        )
    seen = row.class_seen if row.true_class else True if other else None
    return Checked(row, row.true_class or other, None, {}, seen, conflict)


def _cell(sample: Sample, row: Row, drawn: dict[str, int]) -> Checked:
    """drawn: by class, those that were drawn there since the draw."""
    if row.true_class == MISSED_DRAWN:
        return Checked(row, row.true_class, drawn, drawn, row.class_seen)
    if not row.true_class:
        return Checked(row, None, row.missed, drawn, row.class_seen)
    conflict = None
    if drawn:
        conflict = (
            f"{sample.path}: row {row.id} says {row.true_class}, and "
            f"{sum(drawn.values())} missed buildings are drawn in that cell; say "
            f"{MISSED_DRAWN}, or count them"
        )
    return Checked(row, row.true_class, {}, drawn, row.class_seen, conflict)


def _drawn_since(sample: Sample, corrections: list[Correction]) -> list[Correction]:
    before = {each.outline for each in sample.known}
    drawn = [each for each in corrections if each.building is None]
    return [each for each in drawn if outline_of(each) not in before]

"""What corrections say of the pixels of a window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from runtime.buildings.spans import Spans
from runtime.damage import BACKGROUND
from train.adaptation.corrections import Correction


def owners(
    corrections: Sequence[Correction], top: int, left: int, side: int, known: np.ndarray
) -> np.ndarray:
    """int32 [side, side]: n + 1 in the building of correction n, -(n + 1) where it says that
    there is none, 0 where nothing is corrected or the images are not known.

    A building lies over what another correction says is none: a person drew it there.
    """
    found = np.zeros((side, side), np.int32)
    numbered = list(enumerate(corrections, start=1))
    for number, each in numbered:
        _draw(found, each.ground, top, left, -number)
        if each.damage == BACKGROUND:
            _draw(found, each.pixels, top, left, -number)
    for number, each in numbered:
        if each.damage != BACKGROUND:
            _draw(found, each.pixels, top, left, number)
    return np.where(known, found, 0)


def without(owner: np.ndarray, left_out: Iterable[int]) -> np.ndarray:
    """`owners` in which these corrections (their indices) say nothing."""
    numbers = np.fromiter(left_out, np.int64) + 1
    return np.where(np.isin(np.abs(owner), numbers), 0, owner)


def _draw(canvas: np.ndarray, spans: Spans, top: int, left: int, value: int) -> None:
    side = len(canvas)
    first, last = np.searchsorted(spans.row, (top, top + side))
    here = spans[first:last]
    begin, end = ((each - left).clip(0, side) for each in (here.begin, here.end))
    for row, start, stop in zip((here.row - top).tolist(), begin, end, strict=True):
        canvas[row, start:stop] = value

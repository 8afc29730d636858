"""What is said of a building besides its pixels: where it is cut, and what it touches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtime.damage import NODATA, NODATA_NAME

MARK = np.uint8
BORDER, NOT_COMPUTED, CONTACT = 1, 2, 4
"""Bits: a pixel lies at the scene's border; a pixel has a neighbour (of 4) that is NODATA; another
component touches it in a corner."""

CUTS = {
    0: "",
    BORDER: "border",
    NOT_COMPUTED: NODATA_NAME,
    BORDER | NOT_COMPUTED: f"border and {NODATA_NAME}",
}
"""What a layer says of the first two bits in its field `cut`."""


def cut_of(marks: int) -> str:
    return CUTS[marks & (BORDER | NOT_COMPUTED)]


def marks_of(padded: NDArray[np.int32], count: int, damage: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The marks by label, uint8 [count], as far as these rows tell: not those of the scene's first
    and last row, and none that rows above or below would tell.

    padded: [h+2,W+2], labels below `count` of 4-connected components, in a margin of zeros.
    damage: [h,W].
    """
    marks = np.zeros(count, MARK)
    labels = padded[1:-1, 1:-1]
    for column in (labels[:, 0], labels[:, -1]):
        marks[column] |= BORDER
    unknown = damage == NODATA
    if unknown.any():
        marks[labels[touching(unknown)]] |= NOT_COMPUTED
    for one, other in ((labels[:-1, :-1], labels[1:, 1:]), (labels[:-1, 1:], labels[1:, :-1])):
        touch = np.flatnonzero((one > 0) & (other > 0) & (one != other))
        marks[one.flat[touch]] |= CONTACT
        marks[other.flat[touch]] |= CONTACT
    marks[0] = 0
    return marks


def touching(unknown: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a neighbour, of 4, is true."""
    found = np.zeros_like(unknown)
    found[1:] |= unknown[:-1]
    found[:-1] |= unknown[1:]
    found[:, 1:] |= unknown[:, :-1]
    found[:, :-1] |= unknown[:, 1:]
    return found

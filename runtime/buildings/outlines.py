"""Exact outlines of many components at once, from corners collected piece by piece.

Of a grid point with the pixels NW, NE, SW and SE around it, let the turn be NW - NE - SW + SE,
each 1 in the component and 0 outside. It is not 0 exactly where the outline has corners, and the
turns of a component that came in pieces are the sums of the pieces'. So an outline is collected
strip by strip, in memory that grows with its corners and not with the component's area.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.int32]
"""int32 [K,2] corners (x, y) on the pixel grid, the first not repeated at the end.

x grows to the right and y downwards from the image's top left corner; pixel (x, y)
covers x..x+1 and y..y+1.
"""

Outline: TypeAlias = NDArray[np.int32] | NDArray[np.float64]
"""The same, or [K,2] corners between those of the grid."""


@dataclass(frozen=True, eq=False)
class Corners:
    """Corners of components, in any order.

    owner: int64 [N], the number of the component.
    x, y: int32 [N], grid points; the same may come several times, the turns are added.
    turn: int8 [N], each 1 or -1.
    """

    owner: NDArray[np.int64]
    x: NDArray[np.int32]
    y: NDArray[np.int32]
    turn: NDArray[np.int8]

    def __getitem__(self, which: slice | NDArray[np.bool_] | NDArray[np.intp]) -> Corners:
        """A copy of some, so that the others can be freed."""
        fields = (self.owner, self.x, self.y, self.turn)
        owner, x, y, turn = (each[which].copy() for each in fields)
        return Corners(owner, x, y, turn)

    def owned_by(self, number: int) -> Corners:
        return Corners(np.full_like(self.owner, number), self.x, self.y, self.turn)

    @staticmethod
    def together(parts: Sequence[Corners]) -> Corners:
        return Corners(
            np.concatenate([each.owner for each in parts]),
            np.concatenate([each.x for each in parts]),
            np.concatenate([each.y for each in parts]),
            np.concatenate([each.turn for each in parts]),
        )


def corners_of(labels: NDArray[np.int32], top: int) -> Corners:
    """The corners of 4-connected components, by owner.

    labels: [h+2,W+2], component numbers with a margin of zeros, whose pixel [1,1] lies at
    row `top` and column 0 of the scene.
    """
    mask = (labels > 0).view(np.int8)
    step = mask[:-1] - mask[1:]
    turns = step[:, :-1] - step[:, 1:]
    rows, columns = np.divmod(np.flatnonzero(turns), turns.shape[1])  # faster than nonzero
    turn = turns[rows, columns]
    forward = turn > 0
    # A positive turn belongs to NW or SE, a negative one to NE or SW. Both are there if three
    # pixels are, which are of one component, or if two are that touch in this point alone.
    one = np.where(forward, labels[rows, columns], labels[rows, columns + 1])
    other = np.where(forward, labels[rows + 1, columns + 1], labels[rows + 1, columns])
    double = np.flatnonzero(np.abs(turn) == 2)
    owner = np.concatenate([np.maximum(one, other), np.minimum(one, other)[double]])
    points = np.concatenate([np.arange(len(rows)), double])
    order = np.argsort(owner, kind="stable")
    points = points[order]
    return Corners(
        owner[order].astype(np.int64),
        columns[points].astype(np.int32),
        (rows[points] + top).astype(np.int32),
        np.sign(turn[points]).astype(np.int8),
    )


def outlines(corners: Corners) -> dict[int, tuple[Ring, ...]]:
    """Exterior ring, then holes, of every owner; each must be one whole 4-connected component.

    An exterior begins with the leftmost corner of its top edge. A polygon's area is the number
    of its pixels, and it is valid after OGC's simple features: holes touch other rings in points
    at most. By the numbers, the exterior runs counter-clockwise and holes clockwise (RFC 7946's
    right-hand rule): sum(x0*y1 - x1*y0) > 0 for the exterior. On a screen, where y grows
    downwards, that looks the other way round; turn the rings where a transform to geographic
    coordinates flips one axis.
    """
    if not len(corners.owner):
        return {}
    corners, second = _summed(corners)
    begins, sequence = _cycles(corners, second)
    # Each ring alternates between horizontal edges, from i to i ^ 1, and vertical ones.
    nodes = np.column_stack([sequence, sequence ^ 1]).ravel()
    x, y = corners.x[nodes], corners.y[nodes]
    points = np.column_stack([x, y])
    width = (x[1::2] - x[::2]).astype(np.int64)
    holes = np.add.reduceat(-y[::2] * width, begins) < 0
    owners = corners.owner[sequence[begins]]
    ends = np.append(begins[1:], len(sequence))
    found: dict[int, list[Ring]] = {}
    for ring in np.lexsort((holes, owners)).tolist():
        outline = points[2 * begins[ring] : 2 * ends[ring]]
        found.setdefault(int(owners[ring]), []).append(outline)
    return {owner: tuple(rings) for owner, rings in found.items()}


def _summed(corners: Corners) -> tuple[Corners, NDArray[np.bool_]]:
    """By owner, row and column; a point of turn 2 twice, and where that is its second time."""
    order = np.lexsort((corners.x, corners.y, corners.owner))
    owner, x, y = corners.owner[order], corners.x[order], corners.y[order]
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = (np.diff(owner) != 0) | (np.diff(y) != 0) | (np.diff(x) != 0)
    starts = np.flatnonzero(fresh)
    total = np.add.reduceat(corners.turn[order].astype(np.int64), starts)
    # Where pieces met along a straight edge, their corners cancel.
    starts, total = starts[total != 0], total[total != 0]
    times = np.abs(total)
    points = np.repeat(starts, times)
    turn = np.repeat(np.sign(total), times).astype(np.int8)
    second = np.zeros(len(points), np.bool_)
    second[1:] = points[1:] == points[:-1]
    return Corners(owner[points], x[points], y[points], turn), second


def _cycles(
    corners: Corners, second: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each ring begins in the sequence, and the sequence: every other corner of the rings.

    Along a row, corners are joined in pairs, the first to the second, the third to the fourth;
    so they are along a column. A point of turn 2 takes part twice: which of its two vertical
    edges goes on to which horizontal one is chosen such that the two pixels that touch there
    hang together, and the background does not. No ring then meets itself.
    """
    count = len(corners.owner)
    tie = second ^ (corners.turn > 0)
    down = np.lexsort((tie, corners.y, corners.x, corners.owner))
    vertical = np.empty(count, np.intp)
    vertical[down[::2]], vertical[down[1::2]] = down[1::2], down[::2]
    after = vertical[np.arange(count) ^ 1].tolist()
    seen = bytearray(count)
    begins: list[int] = []
    sequence: list[int] = []
    # At a positive turn the edge that leaves is horizontal, with the component to its left as
    # numbers go: the exterior runs counter-clockwise by the numbers.
    for start in np.flatnonzero(corners.turn > 0).tolist():
        if seen[start]:
            continue
        begins.append(len(sequence))
        node = start
        while not seen[node]:
            seen[node] = 1
            sequence.append(node)
            node = after[node]
    return np.array(begins, np.intp), np.array(sequence, np.intp)

"""The pixels of polygons, as spans of rows: those whose centre lies inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.libraries import library


@dataclass(frozen=True, eq=False)
class Spans:
    """int64 [N] each, ascending by polygon and row: the columns begin..end-1 of a row.

    Spans of one polygon may lie over each other where its parts do.
    """

    owner: NDArray[np.int64]
    row: NDArray[np.int64]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]

    def __getitem__(self, which: slice) -> Spans:
        return Spans(self.owner[which], self.row[which], self.begin[which], self.end[which])

    def mask(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.int32]:
        """1 in the spans of one polygon, else 0: [bottom-top,right-left] pixels.

        left and right must be as far out as any of its spans.
        """
        first, last = np.searchsorted(self.row, (top, bottom))
        here = self[first:last]
        change = np.zeros((bottom - top, right - left + 1), np.int32)
        np.add.at(change, (here.row - top, here.begin - left), 1)
        np.subtract.at(change, (here.row - top, here.end - left), 1)
        return (change.cumsum(axis=1)[:, :-1] > 0).astype(np.int32)


def spans_of(shapes: NDArray[Any], height: int, width: int) -> Spans:
    """The spans of shapely (multi)polygons in pixel coordinates, on height x width pixels.

    A centre on the edge between two neighbours belongs to one of them.
    """
    shapely = library("shapely")
    parts, shape_of = shapely.get_parts(shapes, return_index=True)
    rings, part_of = shapely.get_rings(parts, return_index=True)
    points, ring_of = shapely.get_coordinates(rings, return_index=True)
    edge = np.flatnonzero(ring_of[1:] == ring_of[:-1])
    rising = (points[edge, 1] <= points[edge + 1, 1])[:, np.newaxis]
    # In one direction, whichever ring it is of: neighbours then cut a row at the same place.
    low = np.where(rising, points[edge], points[edge + 1])
    high = np.where(rising, points[edge + 1], points[edge])
    first, last = (_first_centre(each[:, 1], height) for each in (low, high))
    times = last - first
    which = np.repeat(np.arange(len(edge)), times)
    row = first[which] + np.arange(len(which)) - (np.cumsum(times) - times)[which]
    low, high = low[which], high[which]
    along = (row + 0.5 - low[:, 1]) / (high[:, 1] - low[:, 1])
    x = low[:, 0] + along * (high[:, 0] - low[:, 0])
    part = part_of[ring_of[edge]][which]
    # A row meets the rings of a part an even number of times: inside from the first to the
    # second, from the third to the fourth.
    order = np.lexsort((x, row, part))
    column = _first_centre(x[order], width)
    begin, end = column[::2], column[1::2]
    owner, row = shape_of[part[order][::2]], row[order][::2]
    found = np.flatnonzero(end > begin)
    found = found[np.lexsort((row[found], owner[found]))]  # by polygon, not by part
    return Spans(*(each[found].astype(np.int64) for each in (owner, row, begin, end)))


def _first_centre(position: NDArray[np.float64], limit: int) -> NDArray[np.int64]:
    """The first pixel whose centre is not before a position, within 0..limit."""
    return np.clip(np.ceil(position - 0.5), 0, limit).astype(np.int64)

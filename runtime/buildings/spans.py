"""The pixels of polygons, as spans of rows: those whose centre lies inside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.buildings.outlines import Outline
from runtime.libraries import library

MOST_CROSSINGS = 1 << 20
"""Of edges with rows, held at a time. About 100 bytes each."""


@dataclass(frozen=True, eq=False)
class Spans:
    """int64 [N] each, ascending by polygon and row: the columns begin..end-1 of a row.

    Spans of one polygon may lie over each other where its parts do, until they are `merged`.
    """

    owner: NDArray[np.int64]
    row: NDArray[np.int64]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]

    def __getitem__(self, which: slice) -> Spans:
        return Spans(self.owner[which], self.row[which], self.begin[which], self.end[which])

    def merged(self) -> Spans:
        """Each pixel of a polygon once: without what its parts have in common."""
        owner, row, begin, end = _by_owner(self.owner, self.row, self.begin, self.end)
        fresh = np.ones(len(owner), np.int64)
        fresh[1:] = (np.diff(owner) != 0) | (np.diff(row) != 0)
        # So far apart that one row's spans reach none of the next.
        line = np.cumsum(fresh) * (end.max(initial=0) + 1)
        reach = np.maximum.accumulate(line + end)
        begin = np.maximum(begin, np.concatenate([[0], reach[:-1]]) - line)
        some = end > begin
        return Spans(owner[some], row[some], begin[some], end[some])

    def within(self, other: Spans) -> Spans:
        """What of them lies in `other`, spans of one polygon that are merged."""
        side = max(self.end.max(initial=0), other.end.max(initial=0)) + 1
        first = np.searchsorted(
            other.row * side + other.end, self.row * side + self.begin, side="right"
        )
        last = np.searchsorted(other.row * side + other.begin, self.row * side + self.end)
        times = last - first
        which = np.repeat(np.arange(len(times)), times)
        met = _ranges(first, times)
        return Spans(
            self.owner[which],
            self.row[which],
            np.maximum(self.begin[which], other.begin[met]),
            np.minimum(self.end[which], other.end[met]),
        )

    def chunks(self, pixels: int, spans: int) -> Iterator[Spans]:
        """The same, with at most so many pixels and spans at a time, or one span."""
        last = np.cumsum(self.end - self.begin)
        first = 0
        while first < len(last):
            done = last[first - 1] if first else 0
            after = max(first + 1, int(np.searchsorted(last, done + pixels, side="right")))
            after = min(after, first + spans)
            yield self[first:after]
            first = after

    def pixels(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Owner, row and column of each pixel, int64 [P]."""
        length = self.end - self.begin
        return (
            np.repeat(self.owner, length),
            np.repeat(self.row, length),
            _ranges(self.begin, length),
        )

    def mask(self, top: int, left: int, height: int, width: int) -> NDArray[np.bool_]:
        """Where the spans of one polygon are, bool [height,width] of the scene."""
        first, last = np.searchsorted(self.row, (top, top + height))
        here = self[first:last]
        change = np.zeros((height, width + 1), np.int32)
        for column, step in ((here.begin, 1), (here.end, -1)):
            np.add.at(change, (here.row - top, np.clip(column - left, 0, width)), step)
        return np.asarray(change.cumsum(axis=1)[:, :-1] > 0)


@dataclass(frozen=True, eq=False)
class Edges:
    """Edges of polygons that cross the centre line of a row of the scene, ascending by polygon.

    low, high: float64 [N,2], x and y of their ends, the upper row's first.
    first, last: int64 [N], rows first..last-1 are crossed.
    part, owner: int64 [N], the polygon's part, and the polygon.
    width: columns of the scene.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    part: NDArray[np.int64]
    owner: NDArray[np.int64]
    width: int

    def __getitem__(self, which: slice | NDArray[Any]) -> Edges:
        return Edges(
            self.low[which], self.high[which], self.first[which], self.last[which],
            self.part[which], self.owner[which], self.width,
        )  # fmt: skip

    def crossings(self, shapes: int) -> NDArray[np.int64]:
        """How often the edges of each polygon cross a row, int64 [shapes]."""
        times = np.bincount(self.owner, self.last - self.first, shapes)
        return times.astype(np.int64)

    def bands(self) -> Iterator[Spans]:
        """Their spans from the top, each band of as many rows as `MOST_CROSSINGS` allow."""
        if not len(self.first):
            return
        begin, end = int(self.first.min()), int(self.last.max())
        size = end - begin + 1
        change = np.bincount(self.first - begin, minlength=size)
        change -= np.bincount(self.last - begin, minlength=size)
        crossings = np.cumsum(np.cumsum(change))  # of all rows down to this one
        top, done = begin, 0
        while top < end:
            fit = int(np.searchsorted(crossings, done + MOST_CROSSINGS, side="right"))
            bottom = min(end, max(top + 1, begin + fit))
            yield self.between(top, bottom)
            top, done = bottom, int(crossings[bottom - 1 - begin])

    def between(self, top: int, bottom: int) -> Spans:
        """The spans of the rows top..bottom-1."""
        meet = (self.first < bottom) & (self.last > top)
        here = self if meet.all() else self[meet]
        first, last = np.maximum(here.first, top), np.minimum(here.last, bottom)
        times = last - first
        which = np.repeat(np.arange(len(first)), times)
        row = _ranges(first, times)
        low, high = here.low[which], here.high[which]
        along = (row + 0.5 - low[:, 1]) / (high[:, 1] - low[:, 1])
        x = low[:, 0] + along * (high[:, 0] - low[:, 0])
        part = here.part[which]
        # A row meets the rings of a part an even number of times: inside from the first to the
        # second, from the third to the fourth.
        order = np.lexsort((x, part * bottom + row))
        column = _first_centre(x[order], self.width)
        begin, end = column[::2], column[1::2]
        owner, row = here.owner[which][order][::2], row[order][::2]
        found = np.flatnonzero(end > begin)
        some = (each[found].astype(np.int64) for each in (owner, row, begin, end))
        return Spans(*_by_owner(*some))


def edges_of(
    shapes: NDArray[Any], height: int, width: int, points: NDArray[np.float64] | None = None
) -> Edges:
    """The edges of shapely (multi)polygons in pixel coordinates, on height x width pixels.

    points: float64 [P,2], where those of the shapes are not in pixels; in their order.
    """
    shapely = library("shapely")
    if points is None:
        points = shapely.get_coordinates(shapes)
    parts, shape_of = shapes, np.arange(len(shapes))
    if not np.isin(shapely.get_type_id(shapes), (shapely.GeometryType.POLYGON, -1)).all():
        parts, shape_of = shapely.get_parts(shapes, return_index=True)
    # Rings are made into shapes where there are holes alone: it takes long.
    holes = shapely.get_num_interior_rings(parts)
    part_of = np.repeat(np.arange(len(parts)), holes + 1)
    length = np.repeat(shapely.get_num_coordinates(parts), holes + 1)
    rings = shapely.get_rings(parts[holes > 0])
    length[holes[part_of] > 0] = shapely.get_num_coordinates(rings)
    ring_of = np.repeat(np.arange(len(length)), length)
    left, top, right, bottom = bounds_of(points, shape_of[part_of[ring_of]], len(shapes)).T
    here = (left < width) & (right > 0) & (top < height) & (bottom > 0)
    if not here.all():
        inside = here[shape_of[part_of[ring_of]]]
        points, ring_of = points[inside], ring_of[inside]
    return _edges(points, part_of[ring_of], shape_of, ring_of, height, width)


def bounds_of(
    points: NDArray[np.float64], owner: NDArray[np.int64], count: int
) -> NDArray[np.float64]:
    """[count,4] left, top, right, bottom of what owns these points [P,2], one owner after the
    other; NaN of what owns none."""
    found = np.full((count, 4), np.nan)
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    if len(first):
        found[owner[first], :2] = np.minimum.reduceat(points, first)
        found[owner[first], 2:] = np.maximum.reduceat(points, first)
    return found


def edges_of_outlines(outlines: Sequence[tuple[Outline, ...]], height: int, width: int) -> Edges:
    """The same of polygons by their rings, whose first corners are not repeated. Needs no
    library."""
    rings = [np.concatenate([ring, ring[:1]]) for each in outlines for ring in each]
    points = np.concatenate(rings).astype(np.float64)
    ring_of = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    part_of = np.repeat(np.arange(len(outlines)), [len(each) for each in outlines])
    owners = np.arange(len(outlines))
    return _edges(points, part_of[ring_of], owners, ring_of, height, width)


def _edges(
    points: NDArray[np.float64],
    part_of: NDArray[np.intp],
    owner_of: NDArray[np.intp],
    ring_of: NDArray[np.intp],
    height: int,
    width: int,
) -> Edges:
    """points: [P,2] of closed rings, one after the other; part_of, ring_of: [P]; owner_of: of a
    part."""
    edge = np.flatnonzero(ring_of[1:] == ring_of[:-1])
    rising = (points[edge, 1] <= points[edge + 1, 1])[:, np.newaxis]
    # In one direction, whichever ring it is of: neighbours then cut a row at the same place.
    low = np.where(rising, points[edge], points[edge + 1])
    high = np.where(rising, points[edge + 1], points[edge])
    first, last = (_first_centre(each[:, 1], height) for each in (low, high))
    part = part_of[edge]
    edges = Edges(low, high, first, last, part, owner_of[part], width)
    return edges[last > first]


def spans_of(shapes: NDArray[Any], height: int, width: int) -> Spans:
    """The spans of shapely (multi)polygons in pixel coordinates, on height x width pixels.

    A centre on the edge between two neighbours belongs to one of them.
    """
    return edges_of(shapes, height, width).between(0, height)


def _by_owner(
    owner: NDArray[np.int64],
    row: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
) -> tuple[NDArray[np.int64], ...]:
    """Spans in ascending order, as they mostly are: polygons of several parts may not be."""
    step, down = np.diff(owner), np.diff(row)
    later = (step > 0) | (step == 0) & ((down > 0) | (down == 0) & (np.diff(begin) >= 0))
    if later.all():
        return owner, row, begin, end
    order = np.lexsort((begin, row, owner))
    return owner[order], row[order], begin[order], end[order]


def _ranges(first: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers from each of `first` on, as many as its `length`, one after the other."""
    before = np.cumsum(length) - length
    return np.asarray(np.arange(int(length.sum())) + np.repeat(first - before, length))


def _first_centre(position: NDArray[np.float64], limit: int) -> NDArray[np.int64]:
    """The first pixel whose centre is not before a position, within 0..limit."""
    return np.clip(np.ceil(position - 0.5), 0, limit).astype(np.int64)

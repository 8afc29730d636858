"""The spatial index of a GeoPackage's layer, packed leaf by leaf in place of row by row.

An R-tree of SQLite is three plain tables (https://www.sqlite.org/rtree.html, "Shadow Tables"):
nodes of up to 51 boxes, the leaf of each row, and the parent of each node; node 1 is the root.
Where each leaf is full, and its boxes are neighbours, it is smaller than one that grew, and made in
a tenth of the time. No R-tree need be compiled into this Python's SQLite.
"""

from __future__ import annotations

import sqlite3
from itertools import count

import numpy as np
from numpy.typing import NDArray

_ROOT = 1
_HEAD = 4
"""Bytes of a node before its cells."""
_CELL = np.dtype([("id", ">i8"), ("box", ">f4", 4)])

ROWS_AT_ONCE = 50_000
"""That leaves are made of: the fewer, the more of them overlap."""


class SpatialIndex:
    """table: that of an index without rows, as GDAL made it."""

    def __init__(self, base: sqlite3.Connection, table: str) -> None:
        self._table = table.replace('"', '""')
        # SQLite tells the size of all nodes by the root's.
        query = f'SELECT length(data) FROM "{self._table}_node" WHERE nodeno = {_ROOT}'
        (self._size,) = base.execute(query).fetchone()
        self._most = (self._size - _HEAD) // _CELL.itemsize
        self._next = _ROOT + 1
        self._rows: list[NDArray[np.int64]] = []
        self._bounds: list[NDArray[np.float64]] = []
        """Of rows that are in no leaf yet."""
        self._ids: list[NDArray[np.int64]] = []
        self._boxes: list[NDArray[np.float32]] = []
        """Of nodes that have no parent yet."""
        self._low, self._high = np.full(2, np.inf), np.full(2, -np.inf)

    def add(
        self, base: sqlite3.Connection, rows: NDArray[np.int64], bounds: NDArray[np.float64]
    ) -> None:
        """Rows by their numbers. bounds: [N,4] left, bottom, right, top; NaN for none."""
        there = ~np.isnan(bounds).any(axis=1)
        self._rows.append(rows[there])
        self._bounds.append(bounds[there])
        if sum(map(len, self._rows)) >= ROWS_AT_ONCE:
            self._add_leaves(base)

    def finish(self, base: sqlite3.Connection) -> tuple[float, ...] | None:
        """The rest of the leaves and all nodes above them. Bounds of all rows, if there are any."""
        self._add_leaves(base)
        if not self._ids:
            return None
        for depth in count(1):
            ids, boxes = np.concatenate(self._ids), np.concatenate(self._boxes)
            self._ids, self._boxes = [], []
            if last := len(ids) <= self._most:
                self._next = _ROOT
            above = self._pack(base, ids, boxes, depth if last else 0)
            self._insert(base, "parent", ids, above)
            if last:
                break
        return (*self._low.tolist(), *self._high.tolist())

    def _add_leaves(self, base: sqlite3.Connection) -> None:
        if not sum(map(len, self._rows)):
            return
        rows, bounds = np.concatenate(self._rows), np.concatenate(self._bounds)
        self._rows, self._bounds = [], []
        self._low = np.minimum(self._low, bounds[:, :2].min(axis=0))
        self._high = np.maximum(self._high, bounds[:, 2:].max(axis=0))
        self._insert(base, "rowid", rows, self._pack(base, rows, _outwards(bounds)))

    def _pack(
        self,
        base: sqlite3.Connection,
        ids: NDArray[np.int64],
        boxes: NDArray[np.float32],
        depth: int = 0,
    ) -> NDArray[np.int64]:
        """Write nodes of these boxes; the node of each, [N]. depth: of the tree, in its root."""
        number = -(-len(ids) // self._most)
        order = _tiled(boxes, self._most, number)
        cells = np.zeros(number * self._most, _CELL)
        cells["id"][: len(ids)], cells["box"][: len(ids)] = ids[order], boxes[order]
        heads = np.zeros((number, 2), ">u2")
        heads[:, 0], heads[:, 1] = depth, self._most
        heads[-1, 1] = len(ids) - (number - 1) * self._most
        nodes = np.zeros((number, self._size), np.uint8)
        nodes[:, :_HEAD] = heads.view(np.uint8)
        nodes[:, _HEAD : _HEAD + self._most * _CELL.itemsize] = cells.view(np.uint8).reshape(
            number, -1
        )
        numbers = np.arange(self._next, self._next + number)
        self._next += number
        rows = zip(numbers.tolist(), map(bytes, nodes), strict=True)
        base.executemany(f'INSERT OR REPLACE INTO "{self._table}_node" VALUES (?, ?)', rows)
        first = np.arange(number) * self._most
        left, right, bottom, top = boxes[order].T
        self._ids.append(numbers)
        self._boxes.append(np.column_stack([
            np.minimum.reduceat(left, first), np.maximum.reduceat(right, first),
            np.minimum.reduceat(bottom, first), np.maximum.reduceat(top, first),
        ]))  # fmt: skip
        node = np.empty(len(ids), np.int64)
        node[order] = np.repeat(numbers, self._most)[: len(ids)]
        return node

    def _insert(
        self,
        base: sqlite3.Connection,
        table: str,
        keys: NDArray[np.int64],
        values: NDArray[np.int64],
    ) -> None:
        rows = zip(keys.tolist(), values.tolist(), strict=True)
        base.executemany(f'INSERT INTO "{self._table}_{table}" VALUES (?, ?)', rows)


def _outwards(bounds: NDArray[np.float64]) -> NDArray[np.float32]:
    """[N,4] left, right, bottom, top in 32 bits, no box smaller than it was."""
    exact = bounds[:, [0, 2, 1, 3]]
    found = exact.astype(np.float32)
    for side, beyond, away in ((slice(0, None, 2), np.greater, -np.inf),
                               (slice(1, None, 2), np.less, np.inf)):  # fmt: skip
        ends = found[:, side]
        np.nextafter(ends, np.float32(away), out=ends, where=beyond(ends, exact[:, side]))
    return found


def _tiled(boxes: NDArray[np.float32], most: int, nodes: int) -> NDArray[np.intp]:
    """Sort-tile-recursive: as many columns as rows of nodes, each ordered from bottom to top."""
    middle = boxes[:, ::2].astype(np.float64) + boxes[:, 1::2]
    column = np.empty(len(boxes), np.intp)
    tall = int(np.ceil(np.sqrt(nodes))) * most
    column[np.argsort(middle[:, 0], kind="stable")] = np.arange(len(boxes)) // tall
    return np.lexsort((middle[:, 1], column))

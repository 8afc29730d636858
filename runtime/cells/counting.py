"""What each cell holds: pixels that were computed or not, and why; buildings by class.

A pixel belongs to the cell that its centre lies in, a building to the one that a point inside of it
lies in. What no cell computed has no numbers: null is "not analysed", 0 is "looked, found none".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.cells.grid import Cells
from runtime.damage import DAMAGE_CLASSES, NODATA
from runtime.finished.buildings import Buildings, buildings_of
from runtime.finished.folder import FinishedMap
from runtime.libraries import library
from runtime.source.quality import REASONS

COMPUTED, NO_DATA, FAILED, MASKED = range(4)
"""States of a pixel. MASKED: left out by --mask-quality."""
STATES = 4

PIXELS = 1 << 22
"""Looked at at a time: 16 bytes each."""

WHOLE = 0.99
"""Of a cell, computed: from here on it is "analysed". Pixels across its edges are not halved."""

ANALYSED, PARTLY, NOT_ANALYSED = "analysed", "partly analysed", "not analysed"


@dataclass(frozen=True, eq=False)
class CellCounts:
    """pixels: int64 [N,4,5], by state and by why the images do not show the ground (0: they do,
    then `quality.REASONS`). whole: float64 [N], pixels that would fill the cell.
    buildings: int64 [N,4] by class. not_graded: int64 [N]. corrected: int64 [N], buildings whose
    class a person said. outside: buildings in no cell.
    """

    cells: Cells
    pixels: NDArray[np.int64]
    whole: NDArray[np.float64]
    buildings: NDArray[np.int64]
    not_graded: NDArray[np.int64]
    corrected: NDArray[np.int64]
    outside: int
    asked_for_all: bool

    @property
    def computed(self) -> NDArray[np.float64]:
        """Share of each cell, 0 to 1."""
        return self._share(self.pixels[:, COMPUTED].sum(axis=1))

    @property
    def beyond(self) -> NDArray[np.float64]:
        """Share of each cell that lies outside of the images."""
        return np.clip(1 - self._share(self.pixels.sum(axis=(1, 2))), 0, 1)

    def state(self, which: int) -> NDArray[np.float64]:
        return self._share(self.pixels[:, which].sum(axis=1))

    def reason(self, number: int) -> NDArray[np.float64]:
        """Share of each cell that the images do not show for the reason `REASONS[number]`."""
        return self._share(self.pixels[:, :, number + 1].sum(axis=1))

    @property
    def known(self) -> NDArray[np.bool_]:
        """Cells that have numbers: with a computed pixel, or a building (that a person drew where
        nothing was computed)."""
        seen = self.pixels[:, COMPUTED].sum(axis=1) > 0
        return np.asarray(seen | (self.buildings.sum(axis=1) > 0), np.bool_)

    @property
    def status(self) -> NDArray[Any]:
        found = np.full(len(self.cells), PARTLY, object)
        found[self.computed >= WHOLE] = ANALYSED
        found[self.pixels[:, COMPUTED].sum(axis=1) == 0] = NOT_ANALYSED
        return found

    @property
    def damaged(self) -> NDArray[np.int64]:
        """Buildings with any damage."""
        return np.asarray(self.buildings[:, 1:].sum(axis=1), np.int64)

    def why(self) -> NDArray[Any]:
        """In words, of each cell that was not computed whole: the shares, the largest first."""
        no_data = "no data in the images" if self.asked_for_all else "no data or not asked for"
        named = {
            "outside of the images": self.beyond,
            no_data: self.state(NO_DATA),
            "window failed": self.state(FAILED),
        }
        for number, what in enumerate(REASONS):
            named[what] = self._share(self.pixels[:, MASKED, number + 1])
        shares = np.stack(list(named.values()), axis=1)
        words = list(named)
        found = np.full(len(self.cells), "", object)
        for index in np.flatnonzero(self.status != ANALYSED).tolist():
            order = np.argsort(-shares[index], kind="stable")
            told = [
                f"{words[n]} {shares[index, n]:.0%}" for n in order if shares[index, n] >= 0.005
            ]
            found[index] = ", ".join(told)
        return found

    def _share(self, pixels: NDArray[Any]) -> NDArray[np.float64]:
        return np.clip(pixels / np.maximum(self.whole, 1e-9), 0, 1)


def count(map_: FinishedMap, cells: Cells, nearest: bool = True) -> CellCounts:
    """nearest: a building beyond all cells is in the nearest one, where they cover the scene."""
    shapely = library("shapely")
    assert map_.place is not None
    asked = map_.summary.get("aoi") is None and map_.summary.get("footprints") is None
    pixels = np.zeros((len(cells), STATES, len(REASONS) + 1), np.int64)
    width = pixels[0].size
    for owner, code in _coded(map_, cells):
        found = np.bincount(owner * width + code, minlength=(len(cells) + 1) * width)
        pixels += found[width:].reshape(pixels.shape)
    buildings = np.zeros((len(cells), len(DAMAGE_CLASSES)), np.int64)
    not_graded, corrected = np.zeros((2, len(cells)), np.int64)
    outside, tree = 0, shapely.STRtree(cells.on_map)
    for chunk in buildings_of(map_):
        where = _cell_of(chunk, tree, nearest)
        outside += int((where < 0).sum())
        for each in DAMAGE_CLASSES:
            here = where[(where >= 0) & (chunk.damage == each)]
            buildings[:, each - 1] += np.bincount(here, minlength=len(cells))
        here = where[(where >= 0) & (chunk.damage == NODATA)]
        not_graded += np.bincount(here, minlength=len(cells))
        corrected += np.bincount(where[(where >= 0) & chunk.corrected], minlength=len(cells))
    whole = np.asarray(shapely.area(cells.on_map) / abs(map_.place.determinant), np.float64)
    return CellCounts(cells, pixels, whole, buildings, not_graded, corrected, outside, asked)


def _cell_of(chunk: Buildings, tree: Any, nearest: bool) -> NDArray[np.int64]:
    """Its number, -1 for none. On the border of two it is the first."""
    shapely = library("shapely")
    points = shapely.point_on_surface(chunk.geometry)
    where = np.full(len(chunk), -1, np.int64)
    building, cell = tree.query(points, predicate="intersects")
    order = np.lexsort((cell, building))
    first, at = np.unique(building[order], return_index=True)
    where[first] = cell[order][at]
    if nearest:
        lost = np.flatnonzero((where < 0) & ~shapely.is_missing(points) & ~shapely.is_empty(points))
        if len(lost):
            _, cell = tree.query_nearest(points[lost], all_matches=False)
            where[lost] = cell
    return where


def _coded(map_: FinishedMap, cells: Cells) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Of some rows at a time: the cell of each pixel counted from 1, 0 for none, and its code."""
    shapely = library("shapely")
    rasterize = library("rasterio.features").rasterize
    affine = library("rasterio").Affine
    place, (height, width) = map_.place, map_.size
    assert place is not None
    damage, quality = (map_.rows(name) for name in ("damage", "quality"))
    masked = bool(map_.summary["quality"]["masked"])
    a, b, c, d, e, f = place.transform
    tree = shapely.STRtree(cells.on_map)
    step = max(1, min(height, PIXELS // width))
    for top in range(0, height, step):
        rows = min(step, height - top)
        strip = np.array([[0, top], [width, top], [width, top + rows], [0, top + rows]], np.float64)
        here = tree.query(shapely.Polygon(place.to_map(strip)))
        if not len(here):
            continue
        owner = rasterize(
            [(cells.on_map[n], int(n) + 1) for n in np.sort(here)],
            (rows, width), fill=0, transform=affine(a, b, b * top + c, d, e, e * top + f),
            dtype=np.int32,
        )  # fmt: skip
        computed = damage(top, rows) != NODATA
        seen = quality(top, rows)
        state = np.where(computed, COMPUTED, NO_DATA).astype(np.uint8)
        known = seen != NODATA
        if masked:
            state[~computed & known & (seen > 0)] = MASKED
        for each in map_.summary["failed_tiles"]:
            _mark(state, computed, top, each)
        why = np.where(known & (seen > 0), (seen.astype(np.int16) - 1) % len(REASONS) + 1, 0)
        code = state.astype(np.int64) * (len(REASONS) + 1) + why
        yield owner.ravel().astype(np.int64), code.ravel()


def _mark(state: NDArray[np.uint8], computed: NDArray[np.bool_], top: int, tile: Any) -> None:
    first, last = tile["row"] - top, tile["row"] + tile["height"] - top
    rows = slice(max(first, 0), max(last, 0))
    columns = slice(tile["column"], tile["column"] + tile["width"])
    part = state[rows, columns]
    part[~computed[rows, columns]] = FAILED

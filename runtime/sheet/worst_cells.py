"""The cells of 500 m with the most damage, and where they are in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runtime.errors import ConfigError
from runtime.finished.folder import FinishedMap
from runtime.sheet.ground import lat_lon

LETTERS = "ABCDEFGHJK"
"""An I looks like a 1."""


@dataclass(frozen=True)
class WorstCell:
    """buildings: by class. computed: share. corners: of the picture, x and y from 0 to 1."""

    letter: str
    centre: str
    buildings: tuple[int, ...]
    computed: float
    corners: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class WorstCells:
    """The worst first: by destroyed and major together, then destroyed, then minor."""

    rows: Sequence[WorstCell]
    count: int
    not_analysed: int


def worst_cells(map_: FinishedMap) -> WorstCells | str:
    """In words, why there are no cells, on ground that no grid in metres holds."""
    from runtime.cells import count
    from runtime.cells.counting import NOT_ANALYSED
    from runtime.cells.grid import squares
    from runtime.libraries import library
    from runtime.source.georeference import WGS84, reproject

    shapely = library("shapely")
    assert map_.place is not None
    height, width = map_.size
    try:
        cells = squares(map_.place, height, width)
    except ConfigError as error:
        return f"No cells: {error}"
    counts = count(map_, cells)
    found = counts.buildings
    order = np.lexsort((found[:, 1], found[:, 3], found[:, 2:].sum(axis=1)))[::-1]
    order = order[counts.damaged[order] > 0][: len(LETTERS)]
    rows = []
    for letter, index in zip(LETTERS, order.tolist(), strict=False):
        ring = map_.place.to_pixels(
            shapely.get_coordinates(shapely.get_exterior_ring(counts.cells.on_map[index]))
        )
        seen = shapely.intersection(
            shapely.Polygon(ring / (width, height)), shapely.box(0, 0, 1, 1)
        )
        middle = shapely.get_coordinates(shapely.centroid(seen)) * (width, height)
        ((longitude, latitude),) = reproject(map_.place.to_map(middle), map_.place.crs_wkt, WGS84)
        corners = shapely.get_coordinates(shapely.get_exterior_ring(shapely.convex_hull(seen)))
        rows.append(
            WorstCell(
                letter,
                lat_lon(longitude, latitude),
                tuple(found[index].tolist()),
                float(counts.computed[index]),
                [(x, y) for x, y in corners.tolist()],
            )
        )
    return WorstCells(rows, len(counts.cells), int((counts.status == NOT_ANALYSED).sum()))

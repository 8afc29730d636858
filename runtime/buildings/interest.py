"""The area that is asked for: polygons of a vector file, as pixels of a scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from runtime.buildings.footprint_file import open_footprints
from runtime.buildings.spans import Spans, edges_of
from runtime.buildings.whereabouts import elsewhere
from runtime.errors import ConfigError
from runtime.libraries import library
from runtime.source.georeference import Georeference

MOST_CROSSINGS = 1 << 23
"""Of the area's outline with rows of a scene; what is held of it is 16 bytes each."""


def read_area(path: Path, height: int, width: int, georeference: Georeference) -> Spans:
    """The pixels whose centre lies in any polygon of the file, merged, of one owner.

    Raises ConfigError: what `open_footprints` does; polygons that are not valid or leave no
    pixel of the scene; an outline too long to be one of an area.
    """
    shapely = library("shapely")
    file = open_footprints(path, height, width, georeference)
    parts = []
    for fids, geometry, _ in file.read_over(height, width, georeference, cut=True):
        _check_valid(path, fids, geometry)
        points = georeference.to_pixels(shapely.get_coordinates(geometry))
        parts.append(shapely.get_parts(shapely.set_coordinates(geometry.copy(), points)))
    whole = np.array([shapely.multipolygons(np.concatenate([np.empty(0, object), *parts]))])
    edges = edges_of(whole, height, width)
    crossings = int(edges.crossings(1)[0])
    if crossings > MOST_CROSSINGS:
        raise ConfigError(
            f"{path}: its outline crosses the scene's {height} rows {crossings} times, expected at "
            f"most {MOST_CROSSINGS}; simplify it"
        )
    bands = [band.merged() for band in edges.bands()]
    if not any(len(band.row) for band in bands):
        raise elsewhere(file, height, width, georeference)
    return Spans(
        *(
            np.concatenate([getattr(band, name) for band in bands])
            for name in ("owner", "row", "begin", "end")
        )
    )


def _check_valid(path: Path, fids: np.ndarray, geometry: np.ndarray) -> None:
    shapely = library("shapely")
    fine = shapely.is_valid(geometry) | shapely.is_missing(geometry)
    if not fine.all():
        first = int(fine.argmin())
        raise ConfigError(
            f"{path}: feature {fids[first]} is not a valid polygon "
            f"({shapely.is_valid_reason(geometry[first])}); mend it (in QGIS: Fix geometries)"
        )

"""The features of a GeoPackage on a scene's pixels, with the columns that corrections need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from runtime.buildings.footprint_file import open_footprints
from runtime.errors import ImageError
from runtime.output.vectors import GEOPACKAGE
from runtime.source.pair import ScenePair

DAMAGE, DAMAGE_CLASS, AREA = "damage", "damage_class", "area_px"
"""Columns of a map, as `runtime.output.tables` writes them."""
CORRECTED, CHECKED = "corrected", "checked"
"""Columns that a person adds."""

COLUMNS = (DAMAGE, DAMAGE_CLASS, AREA, CORRECTED, CHECKED)


@dataclass(frozen=True, eq=False)
class Features:
    """Those of one layer.

    fids: int64 [N]. geometry: object [N], shapely (multi)polygons, valid, in pixels of the scene
    (x to the right, y downwards); None for a feature that has none there.
    columns: [N] values by the column's name, of those of `COLUMNS` that the layer has.
    """

    path: Path
    fids: np.ndarray
    geometry: np.ndarray
    columns: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.fids)

    def value(self, column: str, index: int) -> Any:
        """None where the layer has no such column."""
        return self.columns[column][index] if column in self.columns else None

    def name(self, index: int) -> str:
        """For a message."""
        return f"{self.path}: feature {self.fids[index]}"


def read_features(path: Path, pair: ScenePair) -> Features:
    """All features, in whatever CRS they are, on the pixels of `pair`.

    Raises:
        ConfigError: unreadable, not one layer of polygons, or elsewhere (see `open_footprints`).
        ImageError: the place of the scene is not known.
    """
    place = pair.georeference
    if place is None:
        raise ImageError(
            f"{pair.pre.path}: its place on the ground is unknown, so corrections cannot be laid "
            "on it; give the xBD label that placed the map (--label), or images with a CRS"
        )
    path = path / GEOPACKAGE if path.is_dir() else path
    file = open_footprints(path, pair.height, pair.width, place)
    fids: list[np.ndarray] = []
    geometry: list[np.ndarray] = []
    columns: dict[str, list[np.ndarray]] = {}
    for numbers, shapes, fields in file.read_fields(place, COLUMNS):
        points = place.to_pixels(shapely.get_coordinates(shapes))
        flat = shapely.set_coordinates(shapes.copy(), points)
        flat[shapely.is_empty(flat)] = None
        fids.append(numbers)
        # An outline that crosses itself becomes its parts, as a GIS mends it.
        geometry.append(shapely.make_valid(flat))
        for name, values in fields.items():
            columns.setdefault(name, []).append(values)
    together = {name: np.concatenate(parts) for name, parts in columns.items()}
    return Features(path, np.concatenate(fids), np.concatenate(geometry), together)

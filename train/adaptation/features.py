"""The features of a GeoPackage on a scene's pixels, with the columns that corrections need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from runtime.buildings.footprint_file import open_footprints
from runtime.corrections import CORRECTIONS, Corrections
from runtime.errors import ConfigError, ImageError
from runtime.options import SUMMARY
from runtime.output.vectors import GEOPACKAGE
from runtime.source.pair import ScenePair

DAMAGE, DAMAGE_CLASS, AREA = "damage", "damage_class", "area_px"
"""Columns of a map, as `runtime.output.tables` writes them."""
CORRECTED, CHECKED = "corrected", "checked"
"""Columns that a person adds."""

COLUMNS = (DAMAGE, DAMAGE_CLASS, AREA, CORRECTED, CHECKED)

NEW_CLASS = "new_class"
"""Of `corrections.gpkg`, as `runtime.corrections` keeps it: it holds corrections alone."""


@dataclass(frozen=True, eq=False)
class Features:
    """Those of one layer.

    fids: int64 [N]. geometry: object [N], shapely (multi)polygons, valid, in pixels of the scene
    (x to the right, y downwards); None for a feature that has none there.
    columns: [N] values by the column's name, of those of `COLUMNS` that the layer has.
    whole: are all buildings of a map in it? A map's `corrections.gpkg` holds no other ones.
    """

    path: Path
    fids: np.ndarray
    geometry: np.ndarray
    columns: dict[str, np.ndarray]
    whole: bool = True

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
        ImageError: the place of the scene is not known, and they are no `corrections.gpkg` beside
            the map of a picture.
    """
    place = pair.georeference
    if path.is_dir():
        path = path / (CORRECTIONS if (path / CORRECTIONS).exists() else GEOPACKAGE)
    if place is None and path.name == CORRECTIONS and (path.parent / SUMMARY).exists():
        return _of_picture(path, pair)
    if place is None:
        raise ImageError(
            f"{pair.pre.path}: its place on the ground is unknown, so corrections cannot be laid "
            "on it; give the xBD label that placed the map (--label), or images with a CRS"
        )
    file = open_footprints(path, pair.height, pair.width, place)
    fids: list[np.ndarray] = []
    geometry: list[np.ndarray] = []
    columns: dict[str, list[np.ndarray]] = {}
    for numbers, shapes, fields in file.read_fields(place, (*COLUMNS, NEW_CLASS)):
        points = place.to_pixels(shapely.get_coordinates(shapes))
        flat = shapely.set_coordinates(shapes.copy(), points)
        flat[shapely.is_empty(flat)] = None
        fids.append(numbers)
        # An outline that crosses itself becomes its parts, as a GIS mends it.
        geometry.append(shapely.make_valid(flat))
        for name, values in fields.items():
            columns.setdefault(name, []).append(values)
    together = {name: np.concatenate(parts) for name, parts in columns.items()}
    corrected = together.pop(NEW_CLASS, None)
    whole = corrected is None or CORRECTED in together
    if not whole:
        together[CORRECTED] = corrected
    return Features(path, np.concatenate(fids), np.concatenate(geometry), together, whole)


def _of_picture(path: Path, pair: ScenePair) -> Features:
    """Those of a map in pixels: ConfigError where that map is of another size."""
    with Corrections(path.parent) as corrections:
        of, found = corrections.map, corrections.all()
    if of.placed or (of.height, of.width) != (pair.height, pair.width):
        raise ConfigError(
            f"{path}: is of a map of {of.height}x{of.width} pixels (height x width) and not of "
            f"{pair.pre.path}, {pair.height}x{pair.width}; expected the pair that was mapped"
        )
    if not found:
        raise ConfigError(f"{path}: holds no correction; expected some buildings that are judged")
    shapes = [shapely.Polygon(each.ring) if each.ring else None for each in found]
    geometry = np.empty(len(found), object)
    geometry[:] = shapely.make_valid(shapes)
    names = np.array([each.new_class for each in found], object)
    return Features(
        path, np.array([each.id for each in found]), geometry, {CORRECTED: names}, whole=False
    )

"""Buildings, or graded footprints, as the rows of a vector layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from runtime.buildings.footprints import GradedFootprint
from runtime.buildings.votes import Building
from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES
from runtime.libraries import library
from runtime.source.georeference import Georeference

Rows: TypeAlias = Sequence[Building | GradedFootprint]
"""All of one kind."""

Columns: TypeAlias = Mapping[str, NDArray[Any]]
"""[N] each, by the field's name; NaN stands for null."""

SHARES = {f"share_{name.replace('-', '_')}": name for name in CLASS_NAMES}
"""The class whose share a field holds."""


@dataclass(frozen=True, eq=False)
class Table:
    """geometry: object [N], shapely polygons in the layer's CRS, or None."""

    geometry: NDArray[Any]
    columns: Columns


def geometry_of(rows: Rows, place: Georeference) -> NDArray[Any]:
    """In map coordinates, exteriors counter-clockwise."""
    shapely = library("shapely")
    geometry = np.empty(len(rows), object)
    outlines = [each.rings for each in rows if isinstance(each, Building)]
    if outlines:
        rings = [ring for each in outlines for ring in each]
        of_ring = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
        of_building = np.repeat(np.arange(len(outlines)), [len(each) for each in outlines])
        lines = shapely.linearrings(place.to_map(np.concatenate(rings)), indices=of_ring)
        geometry = shapely.polygons(lines, indices=of_building)
    else:
        geometry[:] = [each.geometry for each in rows if isinstance(each, GradedFootprint)]
    return turned(geometry)


def turned(geometry: NDArray[Any]) -> NDArray[Any]:
    """The same polygons with exteriors counter-clockwise, holes clockwise."""
    return np.asarray(library("shapely").orient_polygons(geometry, exterior_cw=False), object)


def columns_of(rows: Rows, area: NDArray[np.float64]) -> Columns:
    """area: square metres [N], NaN where not known. Without a row, the columns of buildings."""
    graded = [each for each in rows if isinstance(each, GradedFootprint)]
    classes = range(len(CLASS_NAMES)) if graded else DAMAGE_CLASSES
    names = [CLASS_NAMES[each] for each in classes]
    columns: dict[str, NDArray[Any]] = {
        "damage": np.array([each.damage for each in rows], object),
        "damage_class": np.array([each.damage_class for each in rows], np.int16),
        "confidence": _rounded([each.confidence for each in rows], 4),
        "area_m2": _rounded(area, 2),
        "area_px": np.array([each.area_px for each in rows], np.int64),
    }
    for field, name in SHARES.items():
        if name in names:
            columns[field] = _rounded([each.shares[name] for each in rows], 4)
    if graded:
        columns["share_not_computed"] = _rounded([each.share_not_computed for each in graded], 4)
        columns["source_fid"] = np.array([each.source_fid for each in graded], np.int64)
    return columns


def _rounded(values: Sequence[float] | NDArray[np.float64], decimals: int) -> NDArray[Any]:
    return np.round(np.asarray(values, np.float64), decimals)

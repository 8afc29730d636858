"""Buildings, or graded footprints, as the rows of a vector layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from runtime.buildings.footprint_file import Attribute
from runtime.buildings.footprints import GradedFootprints
from runtime.buildings.votes import Building
from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES
from runtime.libraries import library
from runtime.source.georeference import Georeference

Rows: TypeAlias = Sequence[Building] | GradedFootprints

Columns: TypeAlias = Mapping[str, NDArray[Any]]
"""[N] each, by the field's name; NaN stands for null, and so does None, and what is masked."""

SHARES = {f"share_{name.replace('-', '_')}": name for name in CLASS_NAMES}
"""The class whose share a field holds."""

_TAKEN = {
    "fid", "geom", "damage", "damage_class", "confidence", "area_m2", "area_px", "shares",
    "share_not_computed", "source_fid", "cut", *SHARES,
}  # fmt: skip
"""Names that the layers have, in lower case."""


@dataclass(frozen=True, eq=False)
class Table:
    """geometry: object [N], shapely polygons in the layer's CRS, or None."""

    geometry: NDArray[Any]
    columns: Columns


def geometry_of(rows: Rows, place: Georeference) -> NDArray[Any]:
    """In map coordinates, exteriors counter-clockwise."""
    if isinstance(rows, GradedFootprints):
        return turned(rows.geometry)
    if not rows:
        return np.empty(0, object)
    shapely = library("shapely")
    rings = [ring for each in rows for ring in each.rings]
    of_ring = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    of_building = np.repeat(np.arange(len(rows)), [len(each.rings) for each in rows])
    lines = shapely.linearrings(
        place.to_map(np.concatenate(rings).astype(np.float64)), indices=of_ring
    )
    return turned(shapely.polygons(lines, indices=of_building))


def turned(geometry: NDArray[Any]) -> NDArray[Any]:
    """The same polygons with exteriors counter-clockwise, holes clockwise."""
    return np.asarray(library("shapely").orient_polygons(geometry, exterior_cw=False), object)


def columns_of(
    rows: Rows, area: NDArray[np.float64], attributes: Sequence[Attribute] = ()
) -> Columns:
    """area: square metres [N], NaN where not known. Without a row, the columns of buildings.

    attributes: the footprints' own. They follow ours, under the names of `own_names`.
    """
    if isinstance(rows, GradedFootprints):
        return _of_footprints(rows, area, attributes)
    columns = {
        "damage": np.array([each.damage for each in rows], object),
        "damage_class": np.array([each.damage_class for each in rows], np.int16),
        "confidence": _rounded([each.confidence for each in rows], 4),
        "area_m2": _rounded(area, 2),
        "area_px": np.array([each.area_px for each in rows], np.int64),
    }
    of_buildings = {CLASS_NAMES[each] for each in DAMAGE_CLASSES}
    for field, name in SHARES.items():
        if name in of_buildings:
            columns[field] = _rounded([each.shares[name] for each in rows], 4)
    columns["cut"] = np.array([each.cut for each in rows], object)
    return columns | _told([each.told for each in rows])


def _of_footprints(
    rows: GradedFootprints, area: NDArray[np.float64], attributes: Sequence[Attribute]
) -> Columns:
    grades = rows.grades
    columns = {
        "damage": grades.damage,
        "damage_class": grades.damage_class.astype(np.int16),
        "confidence": _rounded(grades.confidence, 4),
        "area_m2": _rounded(area, 2),
        "area_px": grades.area_px,
        **dict(zip(SHARES, _rounded(grades.shares, 4).T, strict=True)),
        "cut": rows.cut,
        "share_not_computed": _rounded(grades.not_computed, 4),
        "source_fid": rows.source_fid,
    }
    told = _told(rows.told)
    names = own_names(attributes, {*_TAKEN, *told})
    own = {
        name: column_of(values, attribute.kind)
        for name, values, attribute in zip(names, rows.attributes, attributes, strict=False)
    }
    return columns | told | own


def own_names(attributes: Sequence[Attribute], taken_already: Iterable[str] = _TAKEN) -> list[str]:
    """What the own columns of a user's file are called: as they were, with "source_" before those
    that the layer has already, in whatever case, and then a number. taken_already: lower case."""
    taken, found = set(taken_already), []
    for attribute in attributes:
        name = attribute.name
        if name.lower() in taken or not name.strip():
            name = f"source_{name}"
        free, number = name, 1
        while free.lower() in taken:
            number += 1
            free = f"{name}_{number}"
        taken.add(free.lower())
        found.append(free)
    return found


def column_of(values: Sequence[Any] | NDArray[Any], kind: str) -> NDArray[Any]:
    """Values of a file's attribute: text, None for none; or numbers, masked where there is none."""
    if kind == "object":
        found = np.empty(len(values), object)
        found[:] = [each if isinstance(each, str) else None for each in values]
        return found
    if isinstance(values, np.ndarray) and values.dtype != object:
        missing = values != values
        return np.ma.MaskedArray(np.where(missing, 0, values).astype(kind), missing)
    missing = [each is None or each != each for each in values]
    filled = [0 if gone else each for each, gone in zip(values, missing, strict=True)]
    return np.ma.MaskedArray(np.array(filled).astype(kind), missing)


def _told(rows: Sequence[Mapping[str, str | float]]) -> dict[str, NDArray[Any]]:
    """Text, or numbers."""
    found = {}
    for name, first in rows[0].items() if rows else ():
        values = [each[name] for each in rows]
        text = isinstance(first, str)
        found[name] = np.array(values, object) if text else _rounded(list(map(float, values)), 4)
    return found


def _rounded(values: Sequence[float] | NDArray[np.float64], decimals: int) -> NDArray[np.float64]:
    return np.asarray(np.round(np.asarray(values, np.float64), decimals), np.float64)

"""Buildings, or graded footprints, as the rows of a vector layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from runtime.buildings.footprint_file import Attribute
from runtime.buildings.footprints import GradedFootprint
from runtime.buildings.votes import Building
from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES
from runtime.libraries import library
from runtime.source.georeference import Georeference

Rows: TypeAlias = Sequence[Building | GradedFootprint]
"""All of one kind."""

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
    shapely = library("shapely")
    geometry = np.empty(len(rows), object)
    outlines = [each.rings for each in rows if isinstance(each, Building)]
    if outlines:
        rings = [ring for each in outlines for ring in each]
        of_ring = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
        of_building = np.repeat(np.arange(len(outlines)), [len(each) for each in outlines])
        lines = shapely.linearrings(
            place.to_map(np.concatenate(rings).astype(np.float64)), indices=of_ring
        )
        geometry = shapely.polygons(lines, indices=of_building)
    else:
        geometry[:] = [each.geometry for each in rows if isinstance(each, GradedFootprint)]
    return turned(geometry)


def turned(geometry: NDArray[Any]) -> NDArray[Any]:
    """The same polygons with exteriors counter-clockwise, holes clockwise."""
    return np.asarray(library("shapely").orient_polygons(geometry, exterior_cw=False), object)


def columns_of(
    rows: Rows, area: NDArray[np.float64], attributes: Sequence[Attribute] = ()
) -> Columns:
    """area: square metres [N], NaN where not known. Without a row, the columns of buildings.

    attributes: the footprints' own. They follow ours, under the names of `own_names`.
    """
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
    columns["cut"] = np.array([each.cut for each in rows], object)
    if graded:
        columns["share_not_computed"] = _rounded([each.share_not_computed for each in graded], 4)
        columns["source_fid"] = np.array([each.source_fid for each in graded], np.int64)
    told = list(rows[0].told) if rows else []
    for name in told:
        columns[name] = _told([each.told[name] for each in rows])
    if graded:
        for index, name in enumerate(own_names(attributes, {*_TAKEN, *told})):
            values = [each.attributes[index] for each in graded]
            columns[name] = column_of(values, attributes[index].kind)
    return columns


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


def column_of(values: Sequence[Any], kind: str) -> NDArray[Any]:
    """Values of a file's attribute: text, None for none; or numbers, masked where there is none."""
    if kind == "object":
        found = np.empty(len(values), object)
        found[:] = [each if isinstance(each, str) else None for each in values]
        return found
    missing = [each is None or each != each for each in values]
    filled = [0 if gone else each for each, gone in zip(values, missing, strict=True)]
    return np.ma.MaskedArray(np.array(filled).astype(kind), missing)


def _told(values: list[str | float]) -> NDArray[Any]:
    if isinstance(values[0], str):
        return np.array(values, object)
    return _rounded([float(each) for each in values], 4)


def _rounded(values: Sequence[float] | NDArray[np.float64], decimals: int) -> NDArray[Any]:
    return np.round(np.asarray(values, np.float64), decimals)

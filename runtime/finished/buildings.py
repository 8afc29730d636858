"""The buildings of a placed map as they stand: corrections counted in, false alarms out.

Read chunk by chunk: a country's buildings need not fit into memory. The map's own file is not
changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.buildings.area import grid_unit, on_ellipsoid
from runtime.corrections import NOT_A_BUILDING, Correction, Corrections
from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES, NODATA, UNCLASSIFIED
from runtime.errors import ConfigError, reason
from runtime.finished.folder import FinishedMap
from runtime.libraries import library
from runtime.source.georeference import WGS84, Georeference, reproject
from runtime.source.globe import continuous

CHUNK = 50_000
"""Buildings held at a time."""

PACKAGE, LAYER = "buildings.gpkg", "buildings"

NOT_GRADED = "not graded"
"""Of totals: footprints without a grade, and what a person called un-classified."""

_CODES = {**{CLASS_NAMES[each]: each for each in DAMAGE_CLASSES}, UNCLASSIFIED: NODATA}


@dataclass(frozen=True, eq=False)
class Buildings:
    """Some buildings; arrays of one length.

    fid: int64, the feature in the map's own layer; 0 for one that a person drew.
    geometry: object, shapely polygons in the map's CRS; None without a geometry.
    damage: int16, 1 to 4 as it stands, or 255 for one without a grade.
    mapped: int16, what the engine said; 0 for a drawn one.
    corrected: bool, whether a person said that it is another, or drew it.
    checked: bool, whether a person said what it is, also where the engine was right.
    confidence: float64, of what the engine said; NaN without one.
    area_m2: float64.
    cut: object, what cuts it, see `marks.CUTS`.
    status: object, `damage` of the layer: a class, or for footprints also "unknown" and
        "not computed".
    when: object, text: when a person said it; None where nobody did.
    """

    fid: NDArray[np.int64]
    geometry: NDArray[Any]
    damage: NDArray[np.int16]
    mapped: NDArray[np.int16]
    corrected: NDArray[np.bool_]
    checked: NDArray[np.bool_]
    confidence: NDArray[np.float64]
    area_m2: NDArray[np.float64]
    cut: NDArray[Any]
    status: NDArray[Any]
    when: NDArray[Any]

    def __len__(self) -> int:
        return len(self.fid)


@dataclass(frozen=True)
class Corrected:
    """What people said of a map. by_building: what holds, by feature number.

    count: those that change anything. totals: buildings by class with them, and `NOT_GRADED`
    where there are any.
    """

    by_building: Mapping[int, Correction]
    drawn: Sequence[Correction]
    count: int
    totals: Mapping[str, int]


def corrections_of(map_: FinishedMap) -> Corrected:
    if not map_.has_corrections:
        others = map_.summary.get("not_graded") or 0
        return Corrected({}, (), 0, {**map_.mapped, **({NOT_GRADED: others} if others else {})})
    with Corrections(map_.folder) as corrections:
        found = corrections.all()
        totals = corrections.totals()
    by_building = {each.building: each for each in found if each.building is not None}
    drawn = [each for each in found if each.building is None]
    known = {name: totals[name] for name in map_.mapped}
    if others := sum(totals.values()) - sum(known.values()):
        known[NOT_GRADED] = others
    return Corrected(by_building, drawn, sum(each.changes for each in found), known)


def buildings_of(map_: FinishedMap) -> Iterator[Buildings]:
    """All of a placed map, in the order of its layer, then those that were drawn.

    Raises ConfigError for a layer that cannot be read, or holds other buildings than the summary
    counts.
    """
    assert map_.place is not None
    corrected = corrections_of(map_)
    seen, missing = 0, set(corrected.by_building)
    for chunk in _stored(map_):
        seen += len(chunk)
        if missing:
            missing -= set(chunk.fid[np.isin(chunk.fid, list(missing))].tolist())
        yield _with(chunk, corrected.by_building)
    expected = map_.summary["buildings"]
    if seen != expected:
        raise ConfigError(
            f"{map_.folder / PACKAGE}: {seen} buildings, but summary.json counts {expected}; copy "
            "the folder again, or map again with dual-hrnet predict --resume"
        )
    if missing:
        raise ConfigError(
            f"{map_.folder}: corrections.gpkg corrects building {min(missing)}, which the map has "
            "not; is it of another map?"
        )
    if corrected.drawn:
        yield _drawn(corrected.drawn, map_.place)


def _stored(map_: FinishedMap) -> Iterator[Buildings]:
    raw, shapely = library("pyogrio.raw"), library("shapely")
    errors, inner = library("pyogrio.errors"), library("pyogrio._err")
    path = map_.folder / PACKAGE
    columns = ["damage", "damage_class", "confidence", "area_m2", "cut"]
    first = 0
    while True:
        try:
            meta, fids, wkb, values = raw.read(
                str(path), layer=LAYER, columns=columns, return_fids=True, skip_features=first,
                max_features=CHUNK,
            )  # fmt: skip
            geometry = shapely.from_wkb(wkb)
        except (
            errors.DataSourceError, errors.DataLayerError, inner.CPLE_BaseError, ValueError,
            shapely.errors.GEOSException,
        ) as error:  # fmt: skip
            raise ConfigError(
                f"{path}: cannot be read as the buildings of the map ({reason(error)}); copy the "
                "folder again"
            ) from error
        if not len(fids):
            return
        named = dict(zip(map(str, meta["fields"]), values, strict=True))
        if missing := [name for name in columns if name not in named]:
            raise ConfigError(f"{path}: no column {missing[0]}; expected the layer of a map")
        first += len(fids)
        classes = np.asarray(named["damage_class"], np.int16)
        no = np.zeros(len(fids), bool)
        yield Buildings(
            np.asarray(fids, np.int64), np.asarray(geometry, object), classes, classes.copy(),
            no, no.copy(), _floats(named["confidence"]), _floats(named["area_m2"]), named["cut"],
            named["damage"], np.full(len(fids), None, object),
        )  # fmt: skip


def _with(chunk: Buildings, by_building: Mapping[int, Correction]) -> Buildings:
    if not by_building:
        return chunk
    here = np.flatnonzero(np.isin(chunk.fid, np.fromiter(by_building, np.int64)))
    if not len(here):
        return chunk
    gone = np.zeros(len(chunk), bool)
    for index in here.tolist():
        each = by_building[int(chunk.fid[index])]
        chunk.when[index] = each.when
        chunk.checked[index] = True
        if each.new_class == NOT_A_BUILDING:
            gone[index] = True
            continue
        if each.changes:
            chunk.damage[index] = _CODES[each.new_class]
            chunk.status[index] = each.new_class
            chunk.corrected[index] = True
    kept = {name: values[~gone] for name, values in vars(chunk).items()}
    return Buildings(**kept)


def _drawn(drawn: Sequence[Correction], place: Georeference) -> Buildings:
    shapely = library("shapely")
    geometry = np.empty(len(drawn), object)
    geometry[:] = [
        shapely.Polygon(place.to_map(np.asarray(each.ring, np.float64))) for each in drawn
    ]
    geometry = np.asarray(shapely.orient_polygons(geometry, exterior_cw=False), object)
    classes = np.array([_CODES[each.new_class] for each in drawn], np.int16)
    count = len(drawn)
    return Buildings(
        np.zeros(count, np.int64), geometry, classes, np.zeros(count, np.int16),
        np.ones(count, bool), np.ones(count, bool), np.full(count, np.nan),
        square_metres(geometry, place), np.full(count, "", object),
        np.array([each.new_class for each in drawn], object),
        np.array([each.when for each in drawn], object),
    )  # fmt: skip


def square_metres(geometry: NDArray[Any], place: Georeference) -> NDArray[np.float64]:
    """Of polygons in the CRS of `place`, as the map's own areas are measured."""
    shapely = library("shapely")
    if (unit := grid_unit(place)) is not None:
        return np.asarray(shapely.area(geometry) * unit, np.float64)
    points = reproject(shapely.get_coordinates(geometry), place.crs_wkt, WGS84)
    return on_ellipsoid(continuous(shapely.set_coordinates(geometry.copy(), points)))


def _floats(values: Any) -> NDArray[np.float64]:
    return np.ma.filled(np.ma.asarray(values, np.float64), np.nan)

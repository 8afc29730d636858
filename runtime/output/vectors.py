"""A scene's buildings as GIS layers: a GeoPackage and GeoJSON, written as the buildings come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime import files
from runtime.buildings.area import POLAR, grid_unit, on_ellipsoid
from runtime.buildings.footprint_file import Attribute
from runtime.buildings.footprints import GradedFootprints
from runtime.buildings.votes import Building
from runtime.libraries import library
from runtime.output import geojson
from runtime.output.geopackage import GEOMETRY_COLUMN, LAYER, TIME, Layer
from runtime.output.style import OF_BUILDINGS, OF_FOOTPRINTS, Look, add_style
from runtime.output.tables import SHARES, Columns, Rows, Table, columns_of, geometry_of, turned
from runtime.output.totals import BuildingTotals
from runtime.source.georeference import WGS84, Georeference, reproject
from runtime.source.globe import continuous, cut

GEOPACKAGE = f"{LAYER}.gpkg"
GEOJSON = f"{LAYER}.geojson"

CHUNK = 1_000
"""Buildings whose polygons are held at a time."""

DECIMALS = 8
"""Of a degree: a millimetre."""

EDGES = 256
"""Pieces, about, that a building's outline near a pole is cut into."""


def write_buildings(
    buildings: Iterable[Building] | Iterable[GradedFootprints],
    folder: Path,
    georeference: Georeference,
    attributes: Sequence[Attribute] = (),
    name: str = LAYER,
    look: Look | None = None,
) -> BuildingTotals:
    """NAME.gpkg, in the scene's CRS, and NAME.geojson, in WGS 84, into `folder`.

    attributes: of footprints, see `tables.columns_of`. look: None: by their damage.

    Both appear when all buildings are in them, and neither if that fails.

    area_m2 is that of the polygon in its CRS's plane, or on the ellipsoid (`area.grid_unit`).
    Raises OSError for what cannot be written; and, before it asks for a building, BackendError
    for a library that is missing and ConfigError for a CRS that has no way to WGS 84.
    """
    for each in ("pyogrio.raw", "shapely", "rasterio.warp"):
        library(each)
    unit = grid_unit(georeference)
    rows = iter(buildings)
    # Before a file is begun: much of what is wrong with the input shows here.
    first = list(islice(rows, 1))
    graded = bool(first) and isinstance(first[0], GradedFootprints)
    kind, of_kind = ("MultiPolygon", OF_FOOTPRINTS) if graded else ("Polygon", OF_BUILDINGS)
    totals = BuildingTotals(area_m2={})
    with (
        files.replacing(folder / f"{name}.gpkg") as package,
        geojson.collection(folder / f"{name}.geojson", {}) as add,
    ):
        package.unlink()
        layer = Layer(package, georeference.crs_wkt, kind, name)
        for chunk in _chunks(chain(first, rows)):
            geometry = geometry_of(chunk, georeference)
            degrees = degrees_of(geometry, georeference)
            columns = columns_of(chunk, _square_metres(geometry, degrees, unit), attributes)
            layer.add(Table(geometry, columns))
            # An axis may have been turned round.
            add(_features(turned(cut(degrees, DECIMALS)), columns))
            totals = _added(totals, columns)
        layer.finish()
        add_style(package, name, GEOMETRY_COLUMN, TIME, look or of_kind)
    return totals


def _chunks(rows: Iterator[Any]) -> Iterator[Rows]:
    """Footprints as they come. The first may be empty: a scene without buildings has its layers."""
    first = next(rows, None)
    if isinstance(first, GradedFootprints):
        yield first
        yield from rows
        return
    rows = chain([] if first is None else [first], rows)
    yield list(islice(rows, CHUNK))
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def degrees_of(geometry: NDArray[Any], georeference: Georeference) -> NDArray[Any]:
    """In longitude and latitude, continuous across the antimeridian; None for what has no place."""
    shapely = library("shapely")
    points, owner = shapely.get_coordinates(geometry, return_index=True)
    degrees = reproject(points, georeference.crs_wkt, WGS84)
    polar = np.unique(owner[np.abs(degrees[:, 1]) > POLAR])
    if len(polar):  # a straight edge in the scene's CRS is a curve there
        geometry = geometry.copy()
        steps = shapely.length(geometry[polar]) / EDGES
        geometry[polar] = shapely.segmentize(geometry[polar], steps)
        degrees = reproject(shapely.get_coordinates(geometry), georeference.crs_wkt, WGS84)
    placed = shapely.set_coordinates(geometry.copy(), degrees)
    placed[~np.isfinite(shapely.bounds(placed)).all(axis=1)] = None
    return continuous(placed)


def _square_metres(
    geometry: NDArray[Any], degrees: NDArray[Any], unit: float | None
) -> NDArray[np.float64]:
    if unit is None:
        return on_ellipsoid(degrees)
    return np.asarray(library("shapely").area(geometry) * unit, np.float64)


def _features(geometry: NDArray[Any], columns: Columns) -> list[str]:
    """GeoJSON features, a line each."""
    shapely = library("shapely")
    points = np.round(shapely.get_coordinates(geometry), DECIMALS)
    texts = shapely.to_geojson(shapely.set_coordinates(geometry.copy(), points)).tolist()
    shares = {SHARES[name]: column for name, column in columns.items() if name in SHARES}
    own = {name: column for name, column in columns.items() if name not in SHARES}
    template = (
        f'{{"type": "Feature", "geometry": %s, "properties": {{{geojson.members(own)}, '
        f'"shares": {{{geojson.members(shares)}}}}}}}'
    )
    values = map(geojson.values, (*own.values(), *shares.values()))
    return [template % row for row in zip((each or "null" for each in texts), *values, strict=True)]


def _added(totals: BuildingTotals, columns: Columns) -> BuildingTotals:
    buildings, pixels = dict(totals.buildings), dict(totals.area_px)
    metres = dict(totals.area_m2 or {})
    for each in np.unique(columns["damage_class"]).tolist():
        here = columns["damage_class"] == each
        buildings[each] = buildings.get(each, 0) + int(here.sum())
        pixels[each] = pixels.get(each, 0) + int(columns["area_px"][here].sum())
        metres[each] = metres.get(each, 0.0) + float(np.nansum(columns["area_m2"][here]))
    cut = Counter(dict(totals.cut)) + Counter(columns["cut"].tolist())
    return BuildingTotals(buildings, pixels, metres, cut)

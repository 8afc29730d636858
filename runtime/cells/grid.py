"""The cells that a map is counted in: squares, hexagons of H3, or the areas of a file.

Squares have their corners at whole multiples of their side, so that the cells of two maps in one
CRS coincide. They are in the map's CRS where that is projected and true to the ground
(`area.grid_unit`); else, as in degrees or Web Mercator, in the UTM zone of the map's centre, near
a pole in UPS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.buildings.area import grid_unit
from runtime.buildings.footprint_file import Attribute, open_footprints
from runtime.cli import install
from runtime.errors import BackendError, ConfigError, reason
from runtime.libraries import library
from runtime.output.tables import column_of
from runtime.source.georeference import WGS84, Georeference, reproject
from runtime.source.globe import continuous, cut, period_of

SIDE = 500.0
"""Metres."""

LARGEST_SIDE = 100_000.0
"""A grid in a plane is of no use for more."""

MOST = 1_000_000
"""Cells of a map."""

H3_RESOLUTION = 8
"""Hexagons of about 0.7 square kilometres."""

_OVERLAP = 0.01
"""Of the smaller of two areas: what neighbours drawn by hand may share."""

_POLAR = 84.0
"""Degrees of latitude where UTM ends."""

_STEPS = 8
"""Parts of a cell's edge that is straight in another CRS than the map's."""


@dataclass(frozen=True, eq=False)
class Cells:
    """crs: of `geometry`, WKT or "EPSG:CODE".

    names: object [N]. geometry: object [N], shapely polygons as they are written.
    on_map: object [N], the same in the map's CRS. m2: float64 [N], square metres.
    kind: for a person. attributes: columns of a file's areas, and their values [N].
    """

    kind: str
    crs: str
    names: NDArray[Any]
    geometry: NDArray[Any]
    on_map: NDArray[Any]
    m2: NDArray[np.float64]
    attributes: Sequence[tuple[Attribute, NDArray[Any]]] = ()

    def __len__(self) -> int:
        return len(self.names)


def squares(place: Georeference, height: int, width: int, side: float = SIDE) -> Cells:
    """Those that share ground with the scene.

    side: metres. Raises ConfigError for a side that is none, or leaves too many cells.
    """
    shapely = library("shapely")
    if not 0 < side <= LARGEST_SIDE:
        raise ConfigError(f"cells of {side:g} m; expected a side above 0, at most {LARGEST_SIDE:g}")
    own = grid_unit(place) is not None
    crs = place.crs_wkt if own else _metric(place, height, width)
    unit = float(library("rasterio.crs").CRS.from_user_input(crs).linear_units_factor[1])
    step = side / unit
    outline = _outline(place, height, width, crs)
    left, bottom, right, top = shapely.bounds(outline)
    if not np.isfinite([left, bottom, right, top]).all():
        raise ConfigError("the map reaches beyond what a grid in metres can hold; use --h3")
    columns = np.arange(np.floor(left / step), np.ceil(right / step))
    rows = np.arange(np.floor(bottom / step), np.ceil(top / step))
    _check_number(len(columns) * len(rows), side)
    x, y = (each.ravel() for each in np.meshgrid(columns, rows))
    geometry = shapely.box(x * step, y * step, (x + 1) * step, (y + 1) * step)
    shapely.prepare(outline)
    # Not those that only touch it.
    here = shapely.intersects(outline, geometry) & ~shapely.touches(outline, geometry)
    x, y, geometry = x[here], y[here], geometry[here]
    names = np.array(
        [f"{side:g}mN{b * side:.0f}E{a * side:.0f}" for a, b in zip(x, y, strict=True)], object
    )
    on_map = geometry if own else _onto(geometry, crs, place)
    return Cells(f"squares of {side:g} m", crs, names, geometry, on_map, _ground(on_map, place))


def hexagons(place: Georeference, height: int, width: int, resolution: int) -> Cells:
    """Cells of H3 that share ground with the scene, in longitude and latitude."""
    shapely = library("shapely")
    try:
        h3 = library("h3")
    except BackendError as error:
        raise BackendError(f"h3 cannot be imported; {install('deliver')}") from error
    if not 0 <= resolution <= 15:
        raise ConfigError(f"--h3 {resolution}; expected a resolution of 0 to 15")
    outline = _outline(place, height, width, WGS84)
    average = float(h3.average_hexagon_area(resolution, unit="m^2"))
    (ground,) = _ground(np.array([shapely.box(0, 0, 1, 1)]), place)  # a square unit of the CRS
    scene = ground * abs(place.determinant) * height * width
    _check_number(int(scene / average), None)
    try:
        (whole,) = cut(np.array([outline], object), 9)
        parts = shapely.get_parts(whole)
        found = {
            cell
            for part in parts
            for cell in h3.polygon_to_cells_experimental(
                h3.geo_to_h3shape(part), resolution, contain="overlap"
            )
        }
    except (h3.H3BaseException, ValueError) as error:
        raise ConfigError(f"H3 has no cells for this map ({reason(error)})") from error
    names = np.array(sorted(found), object)
    geometry = np.array(
        [shapely.Polygon([(x, y) for y, x in h3.cell_to_boundary(cell)]) for cell in names], object
    )
    geometry = continuous(geometry, centre=float(shapely.centroid(outline).x))
    on_map = _onto(geometry, WGS84, place)
    return Cells(
        f"H3 cells of resolution {resolution}", WGS84, names, geometry, on_map,
        np.array([h3.cell_area(cell, unit="m^2") for cell in names], np.float64),
    )  # fmt: skip


def areas(path: Path, place: Georeference, height: int, width: int) -> Cells:
    """The polygons of a vector file that share ground with the scene, with their columns.

    Raises ConfigError for a file without such, and for areas that lie on each other: what is in
    two of them would count twice, or in one at random.
    """
    shapely = library("shapely")
    file = open_footprints(path, height, width, place)
    fids: list[Any] = []
    shapes: list[Any] = []
    values: list[list[Any]] = [[] for _ in file.attributes]
    outline = _outline(place, height, width, place.crs_wkt)
    for numbers, geometry, columns in file.read_over(height, width, place):
        valid = shapely.is_valid(geometry) | shapely.is_missing(geometry)
        if not valid.all():
            first = int(valid.argmin())
            raise ConfigError(
                f"{path}: feature {numbers[first]} is not a valid polygon; mend it (in QGIS: Fix "
                "geometries)"
            )
        here = np.flatnonzero(shapely.intersects(geometry, outline))
        fids += numbers[here].tolist()
        shapes += geometry[here].tolist()
        for kept, column in zip(values, columns, strict=True):
            kept += np.asarray(column, object)[here].tolist()
        _check_number(len(fids), None)
    if not fids:
        raise ConfigError(f"{path}: no area of it lies on the map")
    on_map = np.array(shapes, object)
    _check_apart(path, np.array(fids), on_map)
    names = np.array([str(each) for each in fids], object)
    attributes = [
        (each, column_of(kept, each.kind))
        for each, kept in zip(file.attributes, values, strict=True)
    ]
    return Cells(
        f"areas of {path.name}", place.crs_wkt, names, on_map, on_map, _ground(on_map, place),
        attributes,
    )  # fmt: skip


def _check_apart(path: Path, fids: NDArray[Any], geometry: NDArray[Any]) -> None:
    shapely = library("shapely")
    tree = shapely.STRtree(geometry)
    one, other = tree.query(geometry, predicate="intersects")
    pairs = one < other
    one, other = one[pairs], other[pairs]
    shared = shapely.area(shapely.intersection(geometry[one], geometry[other]))
    smaller = np.minimum(shapely.area(geometry[one]), shapely.area(geometry[other]))
    wrong = np.flatnonzero(shared > _OVERLAP * smaller)
    if len(wrong):
        first = wrong[0]
        raise ConfigError(
            f"{path}: features {fids[one[first]]} and {fids[other[first]]} lie on each other; "
            "expected areas of one level that do not"
        )


def _check_number(count: int, side: float | None) -> None:
    if count > MOST:
        how = f"of {side:g} m: choose a larger side" if side else ": choose larger ones"
        raise ConfigError(f"about {count} cells {how}; expected at most {MOST}")


def _outline(place: Georeference, height: int, width: int, crs: str) -> Any:
    """The scene's outline in another CRS, with points along its edges."""
    shapely = library("shapely")
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height], [0, 0]], np.float64)
    parts = np.linspace(0, 1, 33)[:-1, np.newaxis]
    ring = np.concatenate([a + (b - a) * parts for a, b in pairwise(corners)])
    points = reproject(place.to_map(ring), place.crs_wkt, crs)
    (outline,) = np.array([shapely.Polygon(points)], object)
    if period := period_of(crs):
        (outline,) = continuous(np.array([outline], object), period)
    return outline


def outline_wgs84(place: Georeference, height: int, width: int) -> Any:
    """Of the scene, continuous across the antimeridian."""
    return _outline(place, height, width, WGS84)


def _metric(place: Georeference, height: int, width: int) -> str:
    centre = place.to_map(np.array([[width / 2, height / 2]]))
    ((longitude, latitude),) = reproject(centre, place.crs_wkt, WGS84)
    if abs(latitude) > _POLAR:
        return "EPSG:32661" if latitude > 0 else "EPSG:32761"
    zone = int((longitude + 180) % 360 // 6) + 1
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"


def _onto(geometry: NDArray[Any], crs: str, place: Georeference) -> NDArray[Any]:
    """In the map's CRS and on its side of the globe, with points along the edges."""
    shapely = library("shapely")
    dense = shapely.segmentize(geometry, shapely.length(geometry) / (4 * _STEPS))
    points = reproject(shapely.get_coordinates(dense), crs, place.crs_wkt)
    placed = np.asarray(shapely.set_coordinates(dense, points), object)
    here = period_of(place.crs_wkt)
    return continuous(placed, here, place.transform[2]) if here else placed


def _ground(on_map: NDArray[Any], place: Georeference) -> NDArray[np.float64]:
    from runtime.finished.buildings import square_metres

    return square_metres(on_map, place)

"""What goes round the globe: longitudes, and the x of a few projections.

On a globe x and x + period are one place. Polygons are made continuous here: no edge of theirs
runs round the world because one of its ends is written as 180 and the other as -179.9.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ConfigError
from runtime.libraries import library
from runtime.source.georeference import WGS84, reproject, short

CIRCLE = 360.0
"""Degrees."""

POLE = 90.0


def period_of(crs_wkt: str) -> float | None:
    """How far in x it is once round the world; None where x does not go round.

    ConfigError for a CRS that has no way to WGS 84.
    """
    try:
        crs = library("rasterio.crs").CRS.from_user_input(crs_wkt)
    except library("rasterio.errors").CRSError as error:
        raise ConfigError(f"{short(crs_wkt)}: a CRS that PROJ does not know") from error
    if crs.is_geographic:
        return float(CIRCLE * np.radians(1) / crs.units_factor[1])
    # In a cylindrical projection a degree of longitude is as wide everywhere. One of three pairs
    # may lie on both sides of the edge of the map.
    widths = []
    for latitude in (0.0, 50.0):
        degrees = np.array([[each, latitude] for each in (-91, -90, -1, 0, 89, 90)], np.float64)
        x, y = reproject(degrees, WGS84, crs_wkt).T
        if not np.isfinite([x, y]).all() or np.ptp(y) > 1e-9 * np.ptp(x):
            return None
        widths += np.diff(x)[::2].tolist()
    width = float(np.median(widths))
    same = np.abs(np.array(widths) - width) < abs(width) * 1e-9
    return abs(width) * CIRCLE if same.sum() >= 4 else None


def beside(
    x: NDArray[np.float64] | np.float64, centre: float | NDArray[np.float64], period: float
) -> NDArray[np.float64]:
    """The same places, at most half of the world away from `centre`; as they are if they are."""
    with np.errstate(invalid="ignore"):
        turns = np.rint((centre - x) / period)
    return np.where(np.isfinite(turns) & (turns != 0), x + turns * period, x)


def continuous(
    geometry: NDArray[Any], period: float = CIRCLE, centre: float | None = None
) -> NDArray[Any]:
    """Shapely (multi)polygons whose rings do not jump; the very same objects where none did.

    Parts that lie on both sides of where x begins anew are joined to one polygon.
    centre: an x that every part is put beside; None: the first point of the geometry.
    In degrees (no other `period`), a ring round a pole is closed along that pole.
    """
    shapely = library("shapely")
    bounds = shapely.bounds(geometry)
    left, right = bounds[:, 0], bounds[:, 2]
    with np.errstate(invalid="ignore"):
        far = right - left if centre is None else np.maximum(right - centre, centre - left)
    nowhere = shapely.is_missing(geometry) | shapely.is_empty(geometry)
    if (nowhere | (far <= period / 2)).all():  # what jumps does so by more
        return geometry
    parts, of_geometry = shapely.get_parts(geometry, return_index=True)
    rings, of_part = shapely.get_rings(parts, return_index=True)
    points, of_ring = shapely.get_coordinates(rings, return_index=True)
    if not len(points):
        return geometry
    first = np.searchsorted(of_ring, np.arange(len(rings)))
    last = np.append(first[1:], len(points)) - 1
    with np.errstate(invalid="ignore"):
        jumps = -np.rint(np.diff(points[:, 0], prepend=points[0, 0]) / period)
    jumps[first] = 0
    jumps[~np.isfinite(jumps)] = 0
    turns = np.cumsum(jumps)
    x = points[:, 0] + period * (turns - turns[first][of_ring])
    exterior = np.searchsorted(of_part, of_part)  # of each ring: the first of its part
    begin = points[first, 0]
    leader = np.searchsorted(of_geometry[of_part], of_geometry[of_part])
    target = beside(begin[exterior], begin[leader] if centre is None else centre, period)
    with np.errstate(invalid="ignore"):  # a place that is none stays so
        shift = np.nan_to_num(beside(begin, target, period) - begin)
    around = of_geometry[of_part[(turns[last] != turns[first]) & (period == CIRCLE)]]
    numbers = np.arange(len(geometry))
    torn = np.isin(numbers, of_geometry[of_part[of_ring[jumps != 0]]])
    changed = torn | np.isin(numbers, of_geometry[of_part[shift != 0]])
    if not changed.any():
        return geometry
    found: NDArray[Any] = geometry.copy()
    whole = changed & ~np.isin(numbers, around)
    moved = np.column_stack([x + shift[of_ring], points[:, 1]])
    inside = whole[of_geometry[of_part[of_ring]]]
    found[whole] = shapely.set_coordinates(geometry[whole], moved[inside])
    for index in np.unique(of_geometry[of_part[shift != shift[leader]]]):
        if whole[index]:  # parts that moved against each other
            found[index] = shapely.union_all(shapely.get_parts(found[index]))
    for index in np.unique(around):
        closed = []
        for part in np.flatnonzero(of_geometry == index):
            of_this = np.flatnonzero(of_part == part)
            closed.append(_closed([moved[first[ring] : last[ring] + 1] for ring in of_this]))
        found[index] = shapely.union_all(closed)
    return found


def _closed(rings: list[NDArray[np.float64]]) -> Any:
    """The polygon of rings of which some run round a pole, with the pole as an edge."""
    shapely = library("shapely")
    exterior, *holes = map(_along_pole, rings)
    turned = [
        shapely.transform(hole, lambda points, by=by: points + np.array([by, 0.0]))
        for hole in holes
        for by in (-CIRCLE, 0.0, CIRCLE)
    ]
    return shapely.difference(exterior, shapely.union_all(turned)) if turned else exterior


def _along_pole(points: NDArray[np.float64]) -> Any:
    """The polygon within a ring in longitude and latitude that may run round a pole."""
    shapely = library("shapely")
    begin, end = points[0, 0], points[-1, 0]
    if abs(end - begin) > CIRCLE / 2:
        pole = np.copysign(POLE, points[:, 1].mean())
        points = np.vstack([points, [(end, pole), (begin, pole)], points[:1]])
    polygon = shapely.polygons(points)
    return polygon if shapely.is_valid(polygon) else shapely.make_valid(polygon)


def cut(geometry: NDArray[Any], decimals: int) -> NDArray[Any]:
    """Continuous polygons in degrees -> within -180..180, cut in two at the antimeridian.

    RFC 7946, 3.1.9. The very same objects where nothing lies beyond. Others are rounded before
    they are cut, so that no sliver is left that rounding would make a line.
    """
    shapely = library("shapely")
    bounds = shapely.bounds(geometry)
    with np.errstate(invalid="ignore"):
        beyond = np.flatnonzero((bounds[:, 0] < -CIRCLE / 2) | (bounds[:, 2] > CIRCLE / 2))
    found: NDArray[Any] = geometry.copy()
    for index in beyond:
        found[index] = _within(found[index], decimals)
    return found


def _within(polygon: Any, decimals: int) -> Any:
    shapely = library("shapely")

    def rounded(geometry: Any) -> Any:
        return shapely.transform(geometry, lambda points: np.round(points, decimals))

    polygon = rounded(polygon)
    left, _, right, _ = shapely.bounds(polygon)
    parts = []
    for turn in range(int((left + CIRCLE / 2) // CIRCLE), int((right + CIRCLE / 2) // CIRCLE) + 1):
        here = shapely.transform(
            polygon, lambda points, turn=turn: points - np.array([turn * CIRCLE, 0.0])
        )
        west, _, east, _ = shapely.bounds(here)
        if west < -CIRCLE / 2 or east > CIRCLE / 2:
            world = shapely.box(-CIRCLE / 2, -POLE, CIRCLE / 2, POLE)
            here = here if shapely.is_valid(here) else shapely.make_valid(here)
            here = shapely.intersection(here, world)
        pieces = shapely.get_parts(shapely.get_parts(rounded(here)))
        parts += [each for each in pieces if each.geom_type == "Polygon" and each.area]
    if len(parts) == 1:
        return parts[0]
    # Round a pole the two meet again, on the other side.
    return shapely.union_all([p if shapely.is_valid(p) else shapely.make_valid(p) for p in parts])

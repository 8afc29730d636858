"""Square metres of polygons, in any CRS."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.libraries import library
from runtime.source.georeference import E2, EQUATOR, WGS84, Georeference, reproject
from runtime.source.globe import continuous

_E = float(np.sqrt(E2))

DISTORTION = 0.001
"""A projection that changes areas by more does not measure them: Web Mercator's does, and UTM's
where the zone is widest."""


POLAR = 89.0
"""Degrees of latitude from which meridians are no parallels, not even for a building."""


def grid_unit(georeference: Georeference) -> float | None:
    """Square metres of one square unit of a projected CRS.

    None where areas are measured on the ellipsoid: in a geographic CRS, and in one whose grid,
    at the scene's top left corner, is not true to the ground.
    ConfigError for a CRS without a way to WGS 84.
    """
    pixel = georeference.to_map(np.array([[0, 0], [1, 0], [1, 1], [0, 1]]))
    degrees = reproject(pixel, georeference.crs_wkt, WGS84)
    crs = library("rasterio.crs").CRS.from_wkt(georeference.crs_wkt)
    if not crs.is_projected:
        return None
    unit = float(crs.linear_units_factor[1]) ** 2
    (ground,) = on_ellipsoid(library("shapely").polygons(degrees[np.newaxis]))
    ratio = ground / (abs(georeference.determinant) * unit)
    # Not a number at a corner outside of the projection's domain.
    return None if abs(ratio - 1) > DISTORTION else unit


def on_ellipsoid(degrees: NDArray[Any]) -> NDArray[np.float64]:
    """Square metres of shapely polygons in WGS 84 longitude and latitude; NaN for no place.

    They are measured in the cylindrical equal-area projection of the ellipsoid, near a pole in
    the azimuthal one, which is exact up to how a polygon's edge runs between two corners: for a
    building, nothing.
    """
    shapely = library("shapely")
    degrees = continuous(degrees)  # a building may lie across the antimeridian
    degrees = degrees.copy()
    degrees[~np.isfinite(shapely.bounds(degrees)).all(axis=1)] = None
    points, owner = shapely.get_coordinates(degrees, return_index=True)
    firsts = np.searchsorted(owner, owner)
    longitude = points[:, 0] - points[firsts, 0]
    sine = np.sin(np.radians(points[:, 1]))
    authalic = sine / (1 - E2 * sine**2) + np.arctanh(_E * sine) / _E
    flat = np.column_stack([EQUATOR * np.radians(longitude), EQUATOR * (1 - E2) * authalic / 2])
    polar = np.isin(owner, owner[np.abs(points[:, 1]) > POLAR])
    flat[polar] = _around_pole(np.radians(points[polar]))
    return np.asarray(shapely.area(shapely.set_coordinates(degrees, flat)), np.float64)


def _around_pole(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Metres on an equal-area plane around the nearer pole, of longitudes and latitudes."""
    longitude, latitude = points.T
    below = 2 * np.sin((np.pi / 2 - np.abs(latitude)) / 2) ** 2  # 1 - sine, to the last digit
    middle = 1 - below / 2
    radius = EQUATOR * np.sqrt(2 * (1 - E2) * below) / (1 - E2 * middle**2)
    return np.column_stack([radius * np.cos(longitude), radius * np.sin(longitude)])

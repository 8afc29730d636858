"""Where a scene lies on the ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ConfigError
from runtime.libraries import library

WGS84 = "EPSG:4326"
EQUATOR = 6378137.0
"""Metres, the radius of WGS 84."""
FLATTENING = 1 / 298.257223563
E2 = FLATTENING * (2 - FLATTENING)

FARTHEST = 1e12
"""In the units of any CRS, nothing on the earth is. Numbers beyond are damage, and overflow."""

SMALLEST = 1e-24
"""Square units of a CRS that a pixel has at least."""


@dataclass(frozen=True)
class Georeference:
    """A CRS, and the transform from pixels to it.

    transform: a, b, c, d, e, f of x = a*column + b*row + c and y = d*column + e*row + f; columns
        and rows are counted from the outer corner of the top left pixel.
    """

    crs_wkt: str
    transform: tuple[float, float, float, float, float, float]

    def __post_init__(self) -> None:
        largest = np.abs(self.transform).max()  # NaN where one is
        if not largest <= FARTHEST or not abs(self.determinant) >= SMALLEST:
            raise ConfigError(
                f"geotransform {self.transform}: expected six numbers that give pixels an area"
            )

    @property
    def determinant(self) -> float:
        """A pixel's area in the CRS's square units, negative where y grows upwards."""
        a, b, _, d, e, _ = self.transform
        return a * e - b * d

    def to_map(self, pixels: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.float64]:
        """[N,2] columns and rows -> [N,2] x and y."""
        a, b, c, d, e, f = self.transform
        columns, rows = pixels[:, 0].astype(np.float64), pixels[:, 1].astype(np.float64)
        return np.column_stack([a * columns + b * rows + c, d * columns + e * rows + f])

    def to_pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """[N,2] x and y -> [N,2] columns and rows, with fractions."""
        a, b, c, d, e, f = self.transform
        x, y = points[:, 0] - c, points[:, 1] - f
        return np.column_stack([e * x - b * y, a * y - d * x]) / self.determinant

    def pixel_m(self, height: int, width: int) -> tuple[float, float]:
        """Metres on the ground from column to column and from row to row, at the image's centre.

        ConfigError for a CRS that has no way to WGS 84.
        """
        x, y = width / 2, height / 2
        around = np.array([[x - 0.5, y], [x + 0.5, y], [x, y - 0.5], [x, y + 0.5]])
        degrees = reproject(self.to_map(around), self.crs_wkt, WGS84)
        longitude, latitude = np.radians(degrees).T
        # Straight through the earth: pixels are small, and near a pole longitudes are not.
        normal = EQUATOR / np.sqrt(1 - E2 * np.sin(latitude) ** 2)
        points = np.column_stack([
            normal * np.cos(latitude) * np.cos(longitude),
            normal * np.cos(latitude) * np.sin(longitude),
            normal * (1 - E2) * np.sin(latitude),
        ])  # fmt: skip
        across, down = np.linalg.norm(points[1::2] - points[::2], axis=1).tolist()
        return across, down


def reproject(points: NDArray[np.float64], source: str, target: str) -> NDArray[np.float64]:
    """[N,2] x and y (longitude and latitude of geographic CRSs) from one CRS to another.

    Points outside of a CRS's domain become infinite.
    source, target: WKT or "EPSG:CODE"; ConfigError for one that PROJ cannot use.
    """
    crs = library("rasterio.crs").CRS
    # GDAL's own errors are not RasterioError where coordinates are transformed.
    gdal = library("rasterio._err")
    try:
        pair = crs.from_user_input(source), crs.from_user_input(target)
        if pair[0] == pair[1] or not len(points):
            return points
        return _transformed(points, *pair, gdal.CPLE_BaseError, gdal.CPLE_NotSupportedError)
    except (
        library("rasterio.errors").RasterioError,
        library("rasterio.errors").CRSError,
        gdal.CPLE_BaseError,
    ) as error:
        raise ConfigError(
            f"coordinates cannot be transformed from {short(source)} to {short(target)}; "
            "expected CRSs that PROJ knows a way between"
        ) from error


def _transformed(
    points: NDArray[np.float64],
    source: Any,
    target: Any,
    outside: type[Exception],
    no_way: type[Exception],
) -> NDArray[np.float64]:
    """GDAL refuses all points where one is outside: then they are tried in halves."""
    fine = np.isfinite(points).all(axis=1)
    if source.is_geographic:
        fine &= np.abs(points[:, 1] * float(source.units_factor[1])) <= np.pi / 2 + 1e-9
    if not fine.all():
        found = np.full_like(points, np.inf)
        if fine.any():
            found[fine] = _transformed(points[fine], source, target, outside, no_way)
        return found
    try:
        x, y = library("rasterio.warp").transform(source, target, points[:, 0], points[:, 1])
    except no_way:
        raise
    except outside:
        if len(points) == 1:
            return np.full_like(points, np.inf)
        halves = np.array_split(points, 2)
        return np.concatenate(
            [_transformed(each, source, target, outside, no_way) for each in halves]
        )
    found = np.column_stack([np.asarray(x, np.float64), np.asarray(y, np.float64)])
    found[~np.isfinite(found).all(axis=1)] = np.inf
    return found


def short(crs: str) -> str:
    """The name of a CRS that may be given as WKT."""
    return crs.split('"')[1] if '"' in crs else crs

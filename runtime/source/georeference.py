"""Where a scene lies on the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ConfigError
from runtime.libraries import library

WGS84 = "EPSG:4326"

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


def reproject(points: NDArray[np.float64], source: str, target: str) -> NDArray[np.float64]:
    """[N,2] x and y (longitude and latitude of geographic CRSs) from one CRS to another.

    Points outside of a CRS's domain become infinite or NaN.
    source, target: WKT or "EPSG:CODE"; ConfigError for one that PROJ cannot use.
    """
    crs, warp = library("rasterio.crs").CRS, library("rasterio.warp")
    # GDAL's own errors are not RasterioError where coordinates are transformed.
    errors = library("rasterio.errors").RasterioError, library("rasterio._err").CPLE_BaseError
    try:
        pair = crs.from_user_input(source), crs.from_user_input(target)
        if pair[0] == pair[1] or not len(points):
            return points
        x, y = warp.transform(*pair, points[:, 0], points[:, 1])
    except errors as error:
        raise ConfigError(
            f"coordinates cannot be transformed from {_short(source)} to {_short(target)}; "
            "expected CRSs that PROJ knows a way between"
        ) from error
    return np.column_stack([np.asarray(x, np.float64), np.asarray(y, np.float64)])


def _short(crs: str) -> str:
    """The name of a CRS given as WKT."""
    return crs.split('"')[1] if '"' in crs else crs

"""Where an xBD tile lies: its label has every footprint in pixels and in degrees."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from shapely import from_wkt, get_coordinates
from shapely.errors import ShapelyError

from runtime.errors import DataError, ImageError, reason
from runtime.records import RecordError, load_json
from runtime.source.contract import Source
from runtime.source.georeference import WGS84, Georeference, reproject
from runtime.source.globe import CIRCLE, beside
from runtime.source.place import has_place
from runtime.source.raster import Raster

_TILE = re.compile(r"(.+)_(?:pre|post)_disaster\b")
SIDE = 1024
"""Pixels, of the tiles as they are published."""
UNKNOWNS = 3
"""Of an affine transform, in x and in y: as many corners, not on one line, fix it."""
MISFIT = 2.0
"""Pixels that a corner may lie from where the transform puts it."""
REACH = 3.0
"""Pixels that a corner of the tile may lie from where the transform puts it, in 95 of 100 cases."""
STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
"""Standard deviations that hold 95 % of the cases, where 1, 2, ... corners more than needed tell
what the deviation is; of more, the last."""


def georeference_of(label: Path, height: int = SIDE, width: int = SIDE) -> Georeference:
    """The affine transform from pixels to longitude and latitude, by least squares.

    Raises DataError for a file that is no xBD label, one of a tile that is not height x width
    pixels, and one that does not fix the tile's place up to its corners.
    """
    pixels, degrees, buildings = _read(label, height, width)
    known = np.column_stack([pixels, np.ones(len(pixels))])
    if len(known) < UNKNOWNS or np.linalg.matrix_rank(known) < UNKNOWNS:
        raise DataError(
            f"{label}: {len(known)} corners of footprints in both pixels and degrees, not enough "
            "to place the tile; expected a label with at least one footprint"
        )
    solution, *_ = np.linalg.lstsq(known, degrees, rcond=None)
    (a, d), (b, e), (c, f) = solution
    linear = np.array([[a, b], [d, e]])
    if np.linalg.matrix_rank(linear) < 2 or np.linalg.det(linear) > 0:
        raise DataError(
            f"{label}: its degrees make a mirror image of the tile or none; expected points of "
            "longitude and latitude in features.lng_lat, in this order"
        )
    inverse = np.linalg.inv(linear)
    residuals = (known @ solution - degrees) @ inverse.T
    apart = float(np.abs(residuals).max())
    if apart > MISFIT:
        raise DataError(
            f"{label}: its footprints in pixels and in degrees are up to {apart:.1f} pixels "
            f"apart, {MISFIT:g} are expected at most; is it the label of this tile?"
        )
    rounded = max(_step(pixels), _step(degrees) * float(np.abs(inverse).sum(axis=1).max())) / 2
    off = _off_at_corners(known, residuals, rounded, buildings, height, width)
    if off > REACH:
        raise DataError(
            f"{label}: its {buildings} footprint(s) fix the tile's corners to {off:.1f} pixels "
            f"(95 % confidence), {REACH:g} are expected at most; use a label with more footprints "
            "far apart, or a GeoTIFF of the tile"
        )
    place = tuple(float(each) for each in (a, b, c, d, e, f))
    return Georeference(CRS.from_user_input(WGS84).to_wkt(), place)  # type: ignore[arg-type]


def labelled_place(label: Path, pre: Source, post: Source) -> Georeference:
    """The place of both images. ImageError where one has coordinates that contradict it."""
    place = georeference_of(label, pre.height, pre.width)
    for source in (pre, post):
        _check_tile(label, source.path)
        if isinstance(source, Raster) and has_place(source.dataset) and source.georeference:
            _check_agrees(label, place, source, source.georeference)
    return place


def _check_tile(label: Path, image: Path) -> None:
    """Raises DataError where both names are xBD's, and of two tiles."""
    metadata = load_json(label).get("metadata") or {}
    names = metadata.get("img_name") or label.name, image.name
    label_tile, image_tile = (_TILE.match(str(name)) for name in names)
    if label_tile and image_tile and label_tile[1] != image_tile[1]:
        raise DataError(
            f"{label}: is of tile {label_tile[1]}, the image {image} of {image_tile[1]}; expected "
            "the label of this tile"
        )


def _check_agrees(label: Path, place: Georeference, source: Source, own: Georeference) -> None:
    corners = np.array([(x, y) for x in (0, source.width) for y in (0, source.height)])
    degrees = reproject(own.to_map(corners), own.crs_wkt, WGS84)
    middle = place.to_map(np.array([[source.width / 2, source.height / 2]]))[0, 0]
    degrees[:, 0] = beside(degrees[:, 0], middle, CIRCLE)
    off = float(np.abs(place.to_pixels(degrees) - corners).max())
    if not off <= REACH:
        raise ImageError(
            f"{source.path}: its own coordinates are up to {off:.4g} pixels from where --label "
            f"{label} has them, {REACH:g} are expected at most; leave --label away, or give the "
            "label of this tile"
        )


def _read(
    label: Path, height: int, width: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Corners [K,2] in pixels and in degrees, one beneath another, and of how many footprints."""
    try:
        content = load_json(label)
        features, metadata = content["features"], content.get("metadata") or {}
        size = metadata.get("height", height), metadata.get("width", width)
        first, second = _corners(features["xy"]), _corners(features["lng_lat"])
        both = [
            (first[uid], second[uid])
            for uid in first
            if uid in second and 0 < len(first[uid]) == len(second[uid])
        ]
    except (
        RecordError, ValueError, KeyError, TypeError, AttributeError, ShapelyError
    ) as error:  # fmt: skip
        raise DataError(
            f"{label}: not an xBD label with features.xy and features.lng_lat ({reason(error)})"
        ) from error
    if size != (height, width):
        raise DataError(
            f"{label}: of a tile of {size[0]}x{size[1]} pixels, the image is {height}x{width} "
            "(height x width); expected the label of this tile"
        )
    if not both:
        return np.empty((0, 2)), np.empty((0, 2)), 0
    pixels, degrees = (np.concatenate(each) for each in zip(*both, strict=True))
    if not np.isfinite([pixels, degrees]).all() or np.abs(degrees[:, 1]).max() > 90:
        raise DataError(
            f"{label}: corners of footprints that are no place; expected pixels in features.xy, "
            "longitude and latitude in features.lng_lat"
        )
    degrees[:, 0] = beside(degrees[:, 0], degrees[0, 0], CIRCLE)
    return pixels, degrees, len(both)


def _corners(features: list[dict[str, Any]]) -> dict[str, NDArray[np.float64]]:
    """[K,2] by the footprint's uid."""
    if not isinstance(features, list):
        raise TypeError("not lists of footprints")
    if not all(isinstance(each["wkt"], str) for each in features):
        raise TypeError("a wkt that is no text")
    with np.errstate(all="ignore"):  # 1e999 is infinite, and refused for that
        return {
            each["properties"]["uid"]: get_coordinates(from_wkt(each["wkt"])) for each in features
        }


def _step(values: NDArray[np.float64]) -> float:
    """The decimal place that all values are rounded to: 1, 0.1, ...; 0 if none can be seen."""
    for decimals in range(10):
        if np.abs(values - np.round(values, decimals)).max() < 1e-12 * max(1, np.abs(values).max()):
            return float(10.0**-decimals)
    return 0.0


def _off_at_corners(
    known: NDArray[np.float64],
    residuals: NDArray[np.float64],
    rounded: float,
    buildings: int,
    height: int,
    width: int,
) -> float:
    """Pixels, with 95 % confidence, that the fit may be off at the worst of the tile's corners.

    known: [K,3] columns, rows and ones. rounded: pixels that every coordinate may be off, which
    residuals need not show: the sides of a rectangle are rounded alike.
    The corners of one footprint are not so many witnesses: what is off, is off together.
    """
    _, first = np.unique(known, axis=0, return_index=True)  # rings end where they begin
    spare = len(first) - UNKNOWNS
    deviation = 0.0
    if spare:
        squares = (residuals[first] ** 2).sum(axis=0).max() / spare
        together = np.sqrt(len(first) / buildings)
        deviation = STUDENT[min(spare, len(STUDENT)) - 1] * float(np.sqrt(squares) * together)
    corners = np.array([(x, y, 1) for x in (0, width) for y in (0, height)], np.float64)
    spread = np.linalg.pinv(known[first]).T
    reach = np.sqrt(((corners @ spread.T) ** 2).sum(axis=1)).max()
    return float(reach * max(deviation, 2 * rounded))

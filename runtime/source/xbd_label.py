"""Where an xBD tile lies: its label has every footprint in pixels and in degrees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from shapely import from_wkt, get_coordinates
from shapely.errors import ShapelyError

from runtime.errors import DataError, reason
from runtime.source.georeference import Georeference

WGS84 = 4326
CORNERS = 3
"""Points, not on one line, that an affine transform needs at least."""
MISFIT = 2.0
"""Pixels that a corner may lie from where the transform puts it."""


def georeference_of(label: Path) -> Georeference:
    """The affine transform from pixels to longitude and latitude, by least squares.

    Raises DataError for a file that is no xBD label or does not fix the tile's place.
    """
    try:
        features = json.loads(label.read_text())["features"]
        pixels, degrees = _matched(_corners(features["xy"]), _corners(features["lng_lat"]))
    except (ValueError, KeyError, TypeError, ShapelyError) as error:
        raise DataError(
            f"{label}: not an xBD label with features.xy and features.lng_lat ({reason(error)})"
        ) from error
    known = np.column_stack([pixels, np.ones(len(pixels))])
    if len(known) < CORNERS or np.linalg.matrix_rank(known) < CORNERS:
        raise DataError(
            f"{label}: {len(known)} corners of footprints in both pixels and degrees, not enough "
            "to place the tile; expected a label with at least one footprint"
        )
    solution, *_ = np.linalg.lstsq(known, degrees, rcond=None)
    (a, d), (b, e), (c, f) = solution
    inverse = np.linalg.inv(np.array([[a, b], [d, e]]))
    apart = float(np.abs((known @ solution - degrees) @ inverse.T).max())
    if apart > MISFIT:
        raise DataError(
            f"{label}: its footprints in pixels and in degrees are up to {apart:.1f} pixels "
            f"apart, {MISFIT:g} are expected at most; is it the label of this tile?"
        )
    place = tuple(float(each) for each in (a, b, c, d, e, f))
    return Georeference(CRS.from_epsg(WGS84).to_wkt(), place)  # type: ignore[arg-type]


def _corners(features: list[dict[str, Any]]) -> dict[str, NDArray[np.float64]]:
    """[K,2] by the footprint's uid."""
    return {each["properties"]["uid"]: get_coordinates(from_wkt(each["wkt"])) for each in features}


def _matched(
    pixels: dict[str, NDArray[np.float64]], degrees: dict[str, NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners of footprints that both have, [K,2] each, one beneath another."""
    both = [
        (pixels[uid], degrees[uid])
        for uid in pixels
        if uid in degrees and len(pixels[uid]) == len(degrees[uid])
    ]
    if not both:
        return np.empty((0, 2)), np.empty((0, 2))
    first, second = zip(*both, strict=True)
    return np.concatenate(first), np.concatenate(second)

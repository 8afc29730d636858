"""How large a pixel of a tile is on the ground.

By its label's footprints, which are there in pixels and in degrees. Its metadata do not say: `gsd`
is that of the sensor's colour bands and `pan_resolution` that of its grey one, while xBD's pixels
were resampled to one grid for both images (Guatemala: 0.34 and 0.35 m by `pan_resolution`, 0.49 m
by the footprints).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import shapely

_EQUATOR = 6378137.0
_E2 = 0.00669437999014
"""Metres, and squared eccentricity, of WGS 84."""


def pixel_m(label: Path) -> float | None:
    """Metres, the side of a square as large as a pixel: the median over the footprints.

    None where the label does not tell: no footprint, or none in degrees.
    """
    try:
        features = json.loads(label.read_bytes().decode("utf-8-sig"))["features"]
        pixels, degrees = _outlines(features["xy"]), _outlines(features["lng_lat"])
    except (ValueError, KeyError, TypeError, AttributeError, shapely.errors.ShapelyError):
        return None
    both = sorted(pixels.keys() & degrees.keys())
    if not both:
        return None
    with np.errstate(all="ignore"):  # what is no place is left out below
        ground = shapely.area([degrees[uid] for uid in both])
        latitude = np.radians(shapely.bounds([degrees[uid] for uid in both])[:, 1])
        ground = ground * _square_degree(latitude)
        sides = np.sqrt(ground / shapely.area([pixels[uid] for uid in both]))
        sides = sides[np.isfinite(sides) & (sides > 0)]
    return float(f"{np.median(sides):.4g}") if len(sides) else None


def _square_degree(latitude: np.ndarray) -> np.ndarray:
    """Square metres of a degree of longitude times one of latitude. latitude: radians."""
    root = 1 - _E2 * np.sin(latitude) ** 2
    north, east = _EQUATOR * (1 - _E2) / root**1.5, _EQUATOR * np.cos(latitude) / np.sqrt(root)
    return north * east * np.radians(1) ** 2


def _outlines(features: list[dict[str, Any]]) -> dict[str, Any]:
    """Geometries by the footprint's uid."""
    uids = [str(each["properties"]["uid"]) for each in features]
    with np.errstate(all="ignore"):
        return dict(zip(uids, shapely.from_wkt([each["wkt"] for each in features]), strict=True))

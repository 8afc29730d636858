"""The ground that a map knows, and the ground of the scene that it does not, as polygons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.cells.grid import outline_wgs84
from runtime.damage import NODATA
from runtime.finished.folder import FinishedMap
from runtime.libraries import library
from runtime.output.vectors import DECIMALS
from runtime.source.georeference import WGS84, reproject
from runtime.source.globe import CIRCLE, continuous, cut

_STRAIGHT = 1e-6
"""Degrees, 0.1 m: points that lie nearer to the line of their neighbours are left out."""

LARGEST = 512
"""Blocks a side that known ground is told in."""


@dataclass(frozen=True, eq=False)
class Footprint:
    """Shapely polygons in longitude and latitude, cut at 180 degrees; unknown: None without any.

    bbox: west, south, east, north; west is more than east across 180 degrees (RFC 7946, 5.2).
    """

    known: Any
    unknown: Any
    outline: Any
    bbox: tuple[float, float, float, float]


def footprint_of(map_: FinishedMap) -> Footprint:
    """Ground is known to a block of 1/512 of the scene's longer side: in a block of which a part
    is known, all counts as known."""
    shapely = library("shapely")
    assert map_.place is not None
    height, width = map_.size
    outline = outline_wgs84(map_.place, height, width)
    blocks, factor = _known_blocks(map_)
    if blocks.all():
        return Footprint(_cut(outline), None, _cut(outline), _bbox(outline))
    shapes = library("rasterio.features").shapes
    found = [shapely.Polygon(each["coordinates"][0], each["coordinates"][1:])
             for each, value in shapes(blocks.astype(np.uint8), blocks) if value]  # fmt: skip
    scene = shapely.box(0, 0, width, height)
    pixels = shapely.transform(shapely.union_all(found), lambda points: points * factor)
    pixels = shapely.segmentize(shapely.intersection(pixels, scene), max(height, width) / 32)
    place = map_.place

    def degrees(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return reproject(place.to_map(points), place.crs_wkt, WGS84)

    centre = float(shapely.centroid(outline).x)
    (known,) = continuous(np.array([shapely.transform(pixels, degrees)], object), centre=centre)
    known = known if shapely.is_valid(known) else shapely.make_valid(known)
    unknown = shapely.difference(outline, known)
    return Footprint(
        _cut(known), None if shapely.is_empty(unknown) else _cut(unknown), _cut(outline),
        _bbox(known),
    )  # fmt: skip


def _cut(polygon: Any) -> Any:
    shapely = library("shapely")
    simple = shapely.simplify(polygon, _STRAIGHT)
    (found,) = cut(np.array([simple], object), DECIMALS)
    return shapely.orient_polygons(found, exterior_cw=False)


def _bbox(polygon: Any) -> tuple[float, float, float, float]:
    west, south, east, north = library("shapely").bounds(polygon).tolist()
    half = CIRCLE / 2
    if east - west >= CIRCLE:
        west, east = -half, half
    west, east = (
        each if abs(each) <= half else (each + half) % CIRCLE - half for each in (west, east)
    )
    return (
        round(west, DECIMALS), round(south, DECIMALS), round(east, DECIMALS),
        round(north, DECIMALS),
    )  # fmt: skip


def _known_blocks(map_: FinishedMap) -> tuple[NDArray[np.bool_], int]:
    """[h,w], whether any pixel of the block is known, and the block's side in pixels."""
    height, width = map_.size
    factor = max(1, -(-max(height, width) // LARGEST))
    rows = map_.rows("damage")
    columns = np.arange(0, width, factor)
    found = np.zeros((-(-height // factor), len(columns)), bool)
    for number, top in enumerate(range(0, height, factor)):
        known = (rows(top, min(factor, height - top)) != NODATA).any(axis=0)
        found[number] = np.logical_or.reduceat(known, columns)
    return found, factor

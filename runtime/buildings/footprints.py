"""Grading known buildings: the damage of each footprint, by the pixels that it covers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.buildings.footprint_file import FootprintFile, elsewhere
from runtime.buildings.spans import Spans, spans_by_shape
from runtime.buildings.votes import building_pixels, count_votes, judge
from runtime.damage import BACKGROUND, CLASS_NAMES, DAMAGE_CLASSES, NODATA, NODATA_NAME
from runtime.libraries import library
from runtime.source.georeference import Georeference

UNKNOWN = "unknown"
"""Of a footprint in which the network saw no building: gone, hidden, or misplaced."""

BATCH = 2_000
"""Footprints whose pixels are found at a time."""

BAND_PIXELS = 1 << 22
"""Read at a time of a footprint as large as a town."""

ReadWindow = Callable[[int, int, int, int], tuple[NDArray[np.uint8], NDArray[np.uint8]]]
"""First row, first column, height and width -> damage and confidence, uint8 [height,width]."""


@dataclass(frozen=True, eq=False)
class GradedFootprint:
    """A footprint and the damage that the network saw in it.

    source_fid: the feature's number in its file.
    geometry: shapely (multi)polygon in the scene's CRS; None if it has no place there.
    damage_class: as of a `buildings.Building`, by the votes of its pixels of damage 1..4;
        NODATA if there are none: then `damage` is UNKNOWN, or NODATA_NAME if no pixel of it was
        computed or lies in the scene.
    confidence: NaN where the class is NODATA.
    area_px: its pixels in the scene: those with their centre in it, or, if there are none, the
        one under its centroid.
    shares: part of its computed pixels per class name, background among them; else NaN.
    share_not_computed: part of its pixels that are NODATA.
    """

    source_fid: int
    geometry: Any
    damage: str
    damage_class: int
    confidence: float
    area_px: int
    shares: Mapping[str, float]
    share_not_computed: float


def grade(
    footprints: FootprintFile,
    read_window: ReadWindow,
    height: int,
    width: int,
    georeference: Georeference,
) -> Iterator[GradedFootprint]:
    """Grade every footprint of a vector file, in its order, by a scene of height x width pixels.

    Raises ConfigError for footprints that cannot be read, and at the end if none of them lies
    on the scene.
    """
    shapely = library("shapely")
    on_scene = 0
    for fids, geometry in footprints.read(georeference):
        points = georeference.to_pixels(shapely.get_coordinates(geometry))
        flat = shapely.set_coordinates(geometry.copy(), points)
        for begin in range(0, len(flat), BATCH):
            batch = slice(begin, begin + BATCH)
            pixels = _pixels(flat[batch], height, width)
            for fid, original, spans in zip(
                fids[batch].tolist(), geometry[batch], pixels, strict=True
            ):
                counts, votes = _counted(spans, read_window)
                on_scene += bool(counts.any())
                yield _graded(fid, original, counts, votes)
    if not on_scene:
        raise elsewhere(footprints, height, width, georeference)


def _pixels(shapes: NDArray[Any], height: int, width: int) -> Iterator[Iterable[Spans]]:
    """Each footprint's pixels, band by band; `shapes` are in pixel coordinates."""
    shapely = library("shapely")
    centroids = shapely.centroid(shapes)
    columns, rows = shapely.get_x(centroids), shapely.get_y(centroids)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    for index, bands in enumerate(spans_by_shape(shapes, height, width)):
        first = next((band for band in bands if len(band.row)), None)
        if first is not None:
            yield chain([first], bands)
        elif inside[index]:
            row, column = (np.array([int(each[index])]) for each in (rows, columns))
            yield [Spans(np.array([index]), row, column, column + 1)]
        else:
            yield []


def _counted(
    bands: Iterable[Spans], read_window: ReadWindow
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """int64 [256], pixels by the value of damage, and int64 [4], votes by damage class."""
    counts = np.zeros(NODATA + 1, np.int64)
    votes = np.zeros(len(DAMAGE_CLASSES), np.int64)
    for spans in bands:
        if not len(spans.row):
            continue
        left, right = int(spans.begin.min()), int(spans.end.max())
        bottom = int(spans.row[-1]) + 1
        height = max(1, BAND_PIXELS // (right - left))
        for top in range(int(spans.row[0]), bottom, height):
            inside = spans.mask(top, min(top + height, bottom), left, right)
            damage, confidence = read_window(top, left, *inside.shape)
            votes += count_votes(inside * building_pixels(damage), 2, damage, confidence)[1][1]
            counts += np.bincount(damage[inside > 0], minlength=NODATA + 1)
    return counts, votes


def _graded(
    fid: int, geometry: Any, counts: NDArray[np.int64], votes: NDArray[np.int64]
) -> GradedFootprint:
    """counts: int64 [256], pixels by the value of damage; votes: int64 [4]."""
    area = int(counts.sum())
    scale = counts[: len(CLASS_NAMES)]
    computed = int(scale.sum())
    buildings = computed - int(scale[BACKGROUND])
    damage_class, confidence = NODATA, nan
    if buildings:
        damage_class, confidence = judge(scale[DAMAGE_CLASSES[0] :].tolist(), votes.tolist())
    return GradedFootprint(
        source_fid=fid,
        geometry=geometry,
        damage=CLASS_NAMES[damage_class] if buildings else UNKNOWN if computed else NODATA_NAME,
        damage_class=damage_class,
        confidence=confidence,
        area_px=area,
        shares={
            name: int(number) / computed if computed else nan
            for name, number in zip(CLASS_NAMES, scale, strict=True)
        },
        share_not_computed=1 - computed / area if area else 1.0,
    )

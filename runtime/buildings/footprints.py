"""Grading known buildings: the damage of each footprint, by the pixels that it covers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.buildings.footprint_file import FootprintFile
from runtime.buildings.marks import BORDER, NOT_COMPUTED, cut_of
from runtime.buildings.spans import Spans, edges_of
from runtime.buildings.votes import judge
from runtime.damage import BACKGROUND, CLASS_NAMES, DAMAGE_CLASSES, NODATA, NODATA_NAME
from runtime.libraries import library
from runtime.scene.stored import Stored
from runtime.source.georeference import Georeference

UNKNOWN = "unknown"
"""Of a footprint in which the network saw no building: gone, hidden, or misplaced."""

SLACK = 0.01
"""Pixels, by which a footprint may lie beyond the scene's border without being cut by it: what
coordinates are rounded to."""

BATCH = 2_000
"""Footprints whose pixels are found at a time."""

CHUNK_PIXELS = 1 << 20
"""Looked up at a time; of a footprint as large as a town, a part."""

CHUNK_ROWS = 2_000
"""Of footprints, looked up with maps that were opened once. Until they are closed, up to 64 KiB of
each map counts for a row as memory of this process."""

Map = NDArray[np.uint8] | Stored
"""Uint8 [H,W]."""

OpenMaps = Callable[[], tuple[Map, Map]]
"""Damage and confidence of a scene."""

_COLUMN = np.full(NODATA + 1, len(CLASS_NAMES), np.intp)
_COLUMN[: len(CLASS_NAMES)] = range(len(CLASS_NAMES))
"""Where a value of damage is counted: the classes, then what was not computed."""


@dataclass(frozen=True, eq=False)
class GradedFootprint:
    """A footprint and the damage that the network saw in it.

    source_fid: the feature's number in its file.
    geometry: shapely (multi)polygon in the scene's CRS.
    damage_class: as of a `buildings.Building`, by the votes of its pixels of damage 1..4;
        NODATA if there are none: then `damage` is UNKNOWN, or NODATA_NAME if no pixel of it was
        computed.
    confidence: NaN where the class is NODATA.
    area_px: its pixels in the scene: those with their centre in it, or, if there are none, the
        one under its centroid.
    shares: part of its computed pixels per class name, background among them; else NaN.
    share_not_computed: part of its pixels that are NODATA.
    cut: as of a `votes.Building`: by the border where a part of it lies outside of the scene, by
        what was not computed where `share_not_computed` is above 0.
    attributes: its own, in the order of `FootprintFile.attributes`; None or NaN for none.
    """

    source_fid: int
    geometry: Any
    damage: str
    damage_class: int
    confidence: float
    area_px: int
    shares: Mapping[str, float]
    share_not_computed: float
    cut: str = ""
    attributes: tuple[Any, ...] = ()


@dataclass(frozen=True, eq=False)
class Footprints:
    """Some of a file, [N] each, that may have pixels in the scene.

    flat: `geometry` in pixel coordinates.
    """

    fids: NDArray[np.int64]
    geometry: NDArray[Any]
    attributes: list[NDArray[Any]]
    flat: NDArray[Any]

    def outside(self, height: int, width: int) -> NDArray[np.bool_]:
        """Which of them reach beyond the scene's border, bool [N]."""
        left, top, right, bottom = library("shapely").bounds(self.flat).T
        return np.asarray(
            (left < -SLACK) | (top < -SLACK) | (right > width + SLACK) | (bottom > height + SLACK)
        )

    def spans(self, height: int, width: int) -> Iterator[Spans]:
        """Their pixels, each once; an owner is the number in this part of the file."""
        found = np.zeros(len(self.flat), bool)
        for band in edges_of(self.flat, height, width).bands():
            merged = band.merged()
            found[merged.owner] = True
            yield merged
        shapely = library("shapely")
        centroids = shapely.centroid(self.flat)
        columns, rows = shapely.get_x(centroids), shapely.get_y(centroids)
        inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        alone = np.flatnonzero(inside & ~found)
        row, column = rows[alone].astype(np.int64), columns[alone].astype(np.int64)
        yield Spans(alone, row, column, column + 1)


def parts_of(
    file: FootprintFile, height: int, width: int, georeference: Georeference
) -> Iterator[Footprints]:
    """The footprints of a file that may have pixels in a scene of height x width, in its order.

    Raises ConfigError for footprints that cannot be read.
    """
    shapely = library("shapely")
    for fids, geometry, attributes in file.read_over(height, width, georeference):
        points = georeference.to_pixels(shapely.get_coordinates(geometry))
        flat = shapely.set_coordinates(geometry.copy(), points)
        for begin in range(0, len(flat), BATCH):
            some = slice(begin, begin + BATCH)
            yield Footprints(
                fids[some], geometry[some], [each[some] for each in attributes], flat[some]
            )


def grade(
    file: FootprintFile,
    open_maps: OpenMaps,
    georeference: Georeference,
    area: Spans | None = None,
) -> Iterator[GradedFootprint]:
    """Grade the footprints that have a pixel in a scene, and in `area`, in their file's order.

    area: merged spans of one polygon; None: all of the scene.
    Raises ConfigError for footprints that cannot be read.
    """
    height, width = open_maps()[0].shape
    for part in parts_of(file, height, width, georeference):
        counts = np.zeros((len(part.fids), len(CLASS_NAMES) + 1), np.int64)
        votes = np.zeros((len(part.fids), len(DAMAGE_CLASSES)), np.int64)
        outside = part.outside(height, width)
        wanted = np.zeros(len(part.fids), bool)
        for spans in part.spans(height, width):
            wanted[(spans.within(area) if area else spans).owner] = True
            for chunk in spans.chunks(CHUNK_PIXELS, CHUNK_ROWS):
                _count(chunk, *open_maps(), counts, votes)
        for index in np.flatnonzero(wanted).tolist():
            yield _graded(
                int(part.fids[index]),
                part.geometry[index],
                counts[index].tolist(),
                votes[index].tolist(),
                bool(outside[index]),
                tuple(each[index] for each in part.attributes),
            )


def _count(
    spans: Spans,
    damage: Map,
    confidence: Map,
    counts: NDArray[np.int64],
    votes: NDArray[np.int64],
) -> None:
    """Add to [N,6], pixels by the value of damage, and to [N,4], votes by damage class."""
    owner, row, column = spans.pixels()
    kind = _COLUMN[damage[row, column]]
    counts += _binned(owner, kind, counts.shape)
    seen = np.flatnonzero((kind > BACKGROUND) & (kind <= DAMAGE_CLASSES[-1]))
    weights = confidence[row[seen], column[seen]]
    # float64 sums of whole numbers below 2**53 are exact.
    votes += _binned(owner[seen], kind[seen] - DAMAGE_CLASSES[0], votes.shape, weights)


def _binned(
    rows: NDArray[np.int64],
    columns: NDArray[np.intp],
    shape: tuple[int, ...],
    weights: NDArray[np.uint8] | None = None,
) -> NDArray[np.int64]:
    cells = rows * shape[1] + columns
    return np.bincount(cells, weights, shape[0] * shape[1]).astype(np.int64).reshape(shape)


def _graded(
    fid: int,
    geometry: Any,
    counts: list[int],
    votes: list[int],
    outside: bool,
    attributes: tuple[Any, ...],
) -> GradedFootprint:
    """counts: pixels by class, then of what was not computed; votes: by damage class.

    outside: whether a part of it lies outside of the scene.
    """
    area, scale = sum(counts), counts[: len(CLASS_NAMES)]
    computed = sum(scale)
    buildings = computed - scale[BACKGROUND]
    damage_class, confidence = NODATA, nan
    if buildings:
        damage_class, confidence = judge(scale[DAMAGE_CLASSES[0] :], votes)
    return GradedFootprint(
        source_fid=fid,
        geometry=geometry,
        damage=CLASS_NAMES[damage_class] if buildings else UNKNOWN if computed else NODATA_NAME,
        damage_class=damage_class,
        confidence=confidence,
        area_px=area,
        shares={
            name: number / computed if computed else nan
            for name, number in zip(CLASS_NAMES, scale, strict=True)
        },
        share_not_computed=1 - computed / area if area else 1.0,
        cut=cut_of((BORDER if outside else 0) | (NOT_COMPUTED if computed < area else 0)),
        attributes=attributes,
    )

"""Grading known buildings: the damage of each footprint, by the pixels that it covers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.buildings.footprint_file import FootprintFile
from runtime.buildings.marks import BORDER, NOT_COMPUTED, cut_of
from runtime.buildings.spans import Spans, edges_of
from runtime.buildings.tally import Grade, OpenMaps, Tally
from runtime.buildings.witnesses import Witnesses
from runtime.libraries import library
from runtime.source.georeference import Georeference

SLACK = 0.01
"""Pixels, by which a footprint may lie beyond the scene's border without being cut by it: what
coordinates are rounded to."""

BATCH = 2_000
"""Footprints whose pixels are found at a time."""


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
    told: further fields, see `witnesses.Witnesses`.
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
    told: Mapping[str, str | float] = field(default_factory=dict)


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
    witnesses: Witnesses | None = None,
) -> Iterator[GradedFootprint]:
    """Grade the footprints that have a pixel in a scene, and in `area`, in their file's order.

    area: merged spans of one polygon; None: all of the scene.
    witnesses: maps that are asked for each footprint besides.
    Raises ConfigError for footprints that cannot be read.
    """
    height, width = open_maps()[0].shape
    for part in parts_of(file, height, width, georeference):
        tally, others = (
            Tally(len(part.fids)),
            witnesses.tallies(len(part.fids)) if witnesses else [],
        )
        outside = part.outside(height, width)
        wanted = np.zeros(len(part.fids), bool)
        for spans in part.spans(height, width):
            wanted[(spans.within(area) if area else spans).owner] = True
            tally.add(spans, open_maps)
            for other, maps in zip(others, witnesses.maps if witnesses else (), strict=True):
                other.add(spans, maps)
        for index in np.flatnonzero(wanted).tolist():
            yield _graded(
                int(part.fids[index]),
                part.geometry[index],
                tally.grade(index),
                bool(outside[index]),
                tuple(each[index] for each in part.attributes),
                witnesses.fields(others, index) if witnesses else {},
            )


def _graded(
    fid: int,
    geometry: Any,
    grade: Grade,
    outside: bool,
    attributes: tuple[Any, ...],
    told: Mapping[str, str | float],
) -> GradedFootprint:
    """outside: whether a part of it lies outside of the scene."""
    return GradedFootprint(
        source_fid=fid,
        geometry=geometry,
        damage=grade.damage,
        damage_class=grade.damage_class,
        confidence=grade.confidence,
        area_px=grade.area_px,
        shares=grade.shares,
        share_not_computed=grade.not_computed,
        cut=cut_of((BORDER if outside else 0) | (NOT_COMPUTED if grade.not_computed else 0)),
        attributes=attributes,
        told=told,
    )

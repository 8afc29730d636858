"""Grading known buildings: the damage of each footprint, by the pixels that it covers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.buildings.footprint_file import FootprintFile
from runtime.buildings.marks import BORDER, CUTS, NOT_COMPUTED
from runtime.buildings.spans import Spans, bounds_of, edges_of
from runtime.buildings.tally import Grades, OpenMaps, Tally
from runtime.buildings.witnesses import Witnesses
from runtime.libraries import library
from runtime.source.georeference import Georeference

SLACK = 0.01
"""Pixels, by which a footprint may lie beyond the scene's border without being cut by it: what
coordinates are rounded to."""

BATCH = 2_000
"""Footprints whose pixels are found at a time."""

_CUTS = np.array([CUTS[each] for each in range(len(CUTS))], object)


@dataclass(frozen=True, eq=False)
class GradedFootprints:
    """Footprints and the damage that the network saw in them, [N] each.

    source_fid: the feature's number in its file.
    geometry: shapely (multi)polygons in the scene's CRS.
    grades: their `area_px` are the pixels in the scene: those with their centre in the footprint,
        or, if there are none, the one under its centroid.
    cut: text, as of a `votes.Building`: by the border where a part of it lies outside of the scene,
        by what was not computed where that part is above 0.
    attributes: its own, in the order of `FootprintFile.attributes`; None or NaN for none.
    told: further fields, see `witnesses.Witnesses`; or nothing.
    """

    source_fid: NDArray[np.int64]
    geometry: NDArray[np.object_]
    grades: Grades
    cut: NDArray[np.object_]
    attributes: Sequence[NDArray[Any]] = ()
    told: Sequence[Mapping[str, str | float]] = ()

    def __len__(self) -> int:
        return len(self.source_fid)


@dataclass(frozen=True, eq=False)
class Footprints:
    """Some of a file, [N] each, that may have pixels in the scene.

    points: float64 [P,2], those of `geometry` in pixel coordinates, one after the other.
    owner: int64 [P], the number of the geometry in this part of the file.
    """

    fids: NDArray[np.int64]
    geometry: NDArray[Any]
    attributes: list[NDArray[Any]]
    points: NDArray[np.float64]
    owner: NDArray[np.int64]

    def outside(self, height: int, width: int) -> NDArray[np.bool_]:
        """Which of them reach beyond the scene's border, bool [N]."""
        left, top, right, bottom = bounds_of(self.points, self.owner, len(self.fids)).T
        return np.asarray(
            (left < -SLACK) | (top < -SLACK) | (right > width + SLACK) | (bottom > height + SLACK)
        )

    def spans(self, height: int, width: int) -> Iterator[Spans]:
        """Their pixels, each once; an owner is the number in this part of the file."""
        found = np.zeros(len(self.fids), bool)
        for band in edges_of(self.geometry, height, width, self.points).bands():
            merged = band.merged()
            found[merged.owner] = True
            yield merged
        shapely = library("shapely")
        without = np.flatnonzero(~found)
        points = self.points[~found[self.owner]]
        flat = shapely.set_coordinates(self.geometry[without].copy(), points)
        centroids = shapely.centroid(flat)
        columns, rows = shapely.get_x(centroids), shapely.get_y(centroids)
        inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        row, column = rows[inside].astype(np.int64), columns[inside].astype(np.int64)
        yield Spans(without[inside], row, column, column + 1)


def parts_of(
    file: FootprintFile, height: int, width: int, georeference: Georeference
) -> Iterator[Footprints]:
    """The footprints of a file that may have pixels in a scene of height x width, in its order.

    Raises ConfigError for footprints that cannot be read.
    """
    shapely = library("shapely")
    for fids, geometry, attributes in file.read_over(height, width, georeference):
        for begin in range(0, len(fids), BATCH):
            some = slice(begin, begin + BATCH)
            points, owner = shapely.get_coordinates(geometry[some], return_index=True)
            yield Footprints(
                fids[some],
                geometry[some],
                [each[some] for each in attributes],
                georeference.to_pixels(points),
                owner,
            )


def grade(
    file: FootprintFile,
    open_maps: OpenMaps,
    georeference: Georeference,
    area: Spans | None = None,
    witnesses: Witnesses | None = None,
) -> Iterator[GradedFootprints]:
    """Grade the footprints that have a pixel in a scene, and in `area`, in their file's order.

    area: merged spans of one polygon; None: all of the scene.
    witnesses: maps that are asked for each footprint besides.
    Raises ConfigError for footprints that cannot be read.
    """
    height, width = open_maps()[0].shape
    for part in parts_of(file, height, width, georeference):
        tally = Tally(len(part.fids))
        others = witnesses.tallies(len(part.fids)) if witnesses else []
        wanted = np.zeros(len(part.fids), bool)
        for spans in part.spans(height, width):
            wanted[(spans.within(area) if area else spans).owner] = True
            tally.add(spans, open_maps)
            for other, maps in zip(others, witnesses.maps if witnesses else (), strict=True):
                other.add(spans, maps)
        which = np.flatnonzero(wanted)
        if not len(which):
            continue
        grades = tally.grades().of(which)
        marks = BORDER * part.outside(height, width)[which] + NOT_COMPUTED * (
            grades.not_computed > 0
        )
        yield GradedFootprints(
            part.fids[which],
            part.geometry[which],
            grades,
            _CUTS[marks],
            [each[which] for each in part.attributes],
            witnesses.fields(others, which.tolist()) if witnesses else (),
        )

"""The pixels of polygons by what a map says of them, and the grade that follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from math import nan

import numpy as np
from numpy.typing import NDArray

from runtime.buildings.spans import Spans
from runtime.buildings.votes import judge_each
from runtime.damage import BACKGROUND, CLASS_NAMES, DAMAGE_CLASSES, NODATA, NODATA_NAME
from runtime.scene.stored import Stored

UNKNOWN = "unknown"
"""Of a polygon in which the network saw no building: gone, hidden, or misplaced."""

CHUNK_PIXELS = 1 << 20
"""Looked up at a time; of a footprint as large as a town, a part."""

CHUNK_ROWS = 2_000
"""Of polygons, looked up with maps that were opened once. Until they are closed, up to 64 KiB of
each map counts for a row as memory of this process."""

Map = NDArray[np.uint8] | Stored
"""Uint8 [H,W]."""

OpenMaps = Callable[[], tuple[Map, Map]]
"""Damage and confidence of a scene."""

_COLUMN = np.full(NODATA + 1, len(CLASS_NAMES), np.intp)
_COLUMN[: len(CLASS_NAMES)] = range(len(CLASS_NAMES))
"""Where a value of damage is counted: the classes, then what was not computed."""

_DAMAGE = np.full(NODATA + 1, UNKNOWN, object)
_DAMAGE[: len(CLASS_NAMES)] = CLASS_NAMES
"""The name of a grade by its class."""


@dataclass(frozen=True, eq=False)
class Grade:
    """What a map says of a polygon.

    damage_class: as of a `votes.Building`, by the votes of its pixels of damage 1..4; NODATA if
        there are none: then `damage` is UNKNOWN, or NODATA_NAME if no pixel of it was computed.
    confidence: NaN where the class is NODATA.
    shares: part of its computed pixels per class name, background among them; else NaN.
    not_computed: part of its pixels that are NODATA.
    """

    damage: str
    damage_class: int
    confidence: float
    area_px: int
    shares: Mapping[str, float]
    not_computed: float


@dataclass(frozen=True, eq=False)
class Grades:
    """Those of many polygons, [N] each, see `Grade`.

    damage: object, text. shares: float64 [N,5], of the classes by their numbers.
    """

    damage: NDArray[np.object_]
    damage_class: NDArray[np.uint8]
    confidence: NDArray[np.float64]
    area_px: NDArray[np.int64]
    shares: NDArray[np.float64]
    not_computed: NDArray[np.float64]

    def __getitem__(self, index: int) -> Grade:
        return Grade(
            damage=self.damage[index],
            damage_class=int(self.damage_class[index]),
            confidence=float(self.confidence[index]),
            area_px=int(self.area_px[index]),
            shares=dict(zip(CLASS_NAMES, self.shares[index].tolist(), strict=True)),
            not_computed=float(self.not_computed[index]),
        )

    def of(self, which: NDArray[np.intp]) -> Grades:
        """Of some of the polygons."""
        return Grades(*(getattr(self, each.name)[which] for each in fields(self)))


class Tally:
    """Of `count` polygons, which are the owners of spans."""

    def __init__(self, count: int) -> None:
        self._counts = np.zeros((count, len(CLASS_NAMES) + 1), np.int64)
        self._votes = np.zeros((count, len(DAMAGE_CLASSES)), np.int64)

    def add(self, spans: Spans, open_maps: OpenMaps) -> None:
        for chunk in spans.chunks(CHUNK_PIXELS, CHUNK_ROWS):
            self._add(chunk, *open_maps())

    def _add(self, spans: Spans, damage: Map, confidence: Map) -> None:
        owner, row, column = spans.pixels()
        kind = _COLUMN[damage[row, column]]
        self._counts += _binned(owner, kind, self._counts.shape)
        seen = np.flatnonzero((kind > BACKGROUND) & (kind <= DAMAGE_CLASSES[-1]))
        weights = confidence[row[seen], column[seen]]
        # float64 sums of whole numbers below 2**53 are exact.
        of_class = kind[seen] - DAMAGE_CLASSES[0]
        self._votes += _binned(owner[seen], of_class, self._votes.shape, weights)

    def grades(self) -> Grades:
        counts = self._counts
        area, scale = counts.sum(axis=1), counts[:, : len(CLASS_NAMES)]
        computed = scale.sum(axis=1)
        damage_class, confidence = judge_each(scale[:, DAMAGE_CLASSES[0] :], self._votes)
        damage = _DAMAGE[damage_class]
        damage[(damage_class == NODATA) & (computed == 0)] = NODATA_NAME
        shares = np.full(scale.shape, nan)
        np.divide(scale, computed[:, np.newaxis], out=shares, where=computed[:, np.newaxis] > 0)
        part = np.zeros(len(area))
        np.divide(computed, area, out=part, where=area > 0)
        return Grades(damage, damage_class, confidence, area, shares, 1 - part)


def _binned(
    rows: NDArray[np.int64],
    columns: NDArray[np.intp],
    shape: tuple[int, ...],
    weights: NDArray[np.uint8] | None = None,
) -> NDArray[np.int64]:
    cells = rows * shape[1] + columns
    return np.bincount(cells, weights, shape[0] * shape[1]).astype(np.int64).reshape(shape)

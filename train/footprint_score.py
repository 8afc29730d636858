"""Precision, recall and F1 by building: what a person who counts buildings asks of a map.

The official score counts pixels, so that one warehouse weighs as much as fifty houses. Here
every labelled footprint is one building. It is given the class that most of its predicted
pixels have: 0, missed, where that is background, and of equally frequent classes the more
severe one. What the map has where nobody drew a footprint is a false alarm: one for each
4-connected group of building pixels that shares no pixel with any footprint, as
`runtime.buildings` groups them and of any size, its class found in the same way.

A group that covers several footprints finds them all, so a map that merges neighbours is
not punished here. The pixels of the official score do that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import cv2
import numpy as np
import shapely

from runtime.damage import BACKGROUND, CLASS_NAMES, DAMAGE_CLASSES
from runtime.score import Tally
from train.xbd import Footprint, rasterise

_VALUES = len(CLASS_NAMES)


@dataclass(eq=False)
class FootprintCounts:
    """Buildings, counted; counts of parts add up to those of the whole.

    detection: int64 [3], footprints found, false alarms, footprints missed.
    confusion: int64 [5,5], true class x predicted class. Row 0 holds the false alarms,
        column 0 the missed. Un-classified footprints are in `detection` alone.
    """

    detection: np.ndarray = field(default_factory=lambda: np.zeros(3, np.int64))
    confusion: np.ndarray = field(default_factory=lambda: np.zeros((_VALUES, _VALUES), np.int64))

    def add(self, prediction: np.ndarray, footprints: Sequence[Footprint]) -> None:
        """Count one tile.

        Args:
            prediction: uint8 [H, W], classes 0..4; NODATA (255) finds no building.
            footprints: of the post-disaster label. One that lies outside the tile altogether
                has no pixel and counts for nothing.
        """
        prediction = np.where(prediction < _VALUES, prediction, BACKGROUND).astype(np.uint8)
        covered = np.zeros(prediction.shape, bool)
        for footprint in footprints:
            window, mask = rasterise_alone(footprint, *prediction.shape)
            covered[window] |= mask
            if not mask.any():
                continue
            found = most_frequent(np.bincount(prediction[window][mask], minlength=_VALUES))
            self.detection[0 if found else 2] += 1
            if footprint.damage in DAMAGE_CLASSES:
                self.confusion[footprint.damage, found] += 1
        alarms = _false_alarms(prediction, covered)
        self.confusion[BACKGROUND] += alarms
        self.detection[1] += alarms.sum()

    def __add__(self, other: FootprintCounts) -> FootprintCounts:
        return FootprintCounts(self.detection + other.detection, self.confusion + other.confusion)

    @property
    def detection_tally(self) -> Tally:
        return Tally(*(int(n) for n in self.detection))

    @property
    def class_tallies(self) -> tuple[Tally, ...]:
        """Classes 1..4. Unlike the official pixels, a false alarm costs its class precision."""
        return tuple(Tally.of_class(self.confusion, each) for each in DAMAGE_CLASSES)

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        tallies = {
            "detection": self.detection_tally,
            **dict(zip(CLASS_NAMES[1:], self.class_tallies, strict=True)),
        }
        return {
            "f1": {name: tally.f1 for name, tally in tallies.items()},
            "precision": {name: tally.precision for name, tally in tallies.items()},
            "recall": {name: tally.recall for name, tally in tallies.items()},
            "counts": {name: asdict(tally) for name, tally in tallies.items()},
            "confusion": self.confusion.tolist(),
        }


def rasterise_alone(
    footprint: Footprint, height: int, width: int
) -> tuple[tuple[slice, slice], np.ndarray]:
    """One footprint's pixels by the official rule, within its bounding box.

    Returns:
        The window (rows, columns) of the tile, and a bool mask of the window's size. Both
        are empty for a footprint outside the tile.
    """
    left, top, right, bottom = footprint.polygon.bounds
    # An even corner: rounding to the nearest even number then commutes with the shift, so
    # the mask is the one that `rasterise` would draw on the whole tile.
    x, y = (max(0, int(each // 2) * 2) for each in (left, top))
    rows, columns = min(height, round(bottom) + 1) - y, min(width, round(right) + 1) - x
    if rows <= 0 or columns <= 0:
        return (slice(0, 0), slice(0, 0)), np.zeros((0, 0), bool)
    shifted = shapely.transform(footprint.polygon, lambda points: points - (x, y))
    mask = rasterise([replace(footprint, polygon=shifted)], rows, columns, lambda _: 1)
    return (slice(y, y + rows), slice(x, x + columns)), mask.astype(bool)


def _false_alarms(prediction: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Groups of building pixels that touch nothing covered, by class: int64 [5]."""
    mask = (prediction != BACKGROUND).astype(np.uint8)
    count, labels = cv2.connectedComponents(mask, connectivity=4)
    alarm = np.ones(count, bool)
    alarm[labels[covered]] = False
    alarm[0] = False  # the ground between the groups
    cells = labels.astype(np.int64).ravel() * _VALUES + prediction.ravel()
    votes = np.bincount(cells, minlength=count * _VALUES).reshape(count, _VALUES)
    return np.bincount(most_frequent(votes[alarm]), minlength=_VALUES)


def most_frequent(votes: np.ndarray) -> np.ndarray:
    """Class with most votes of [..., 5]; of equals, the more severe."""
    return _VALUES - 1 - votes[..., ::-1].argmax(axis=-1)

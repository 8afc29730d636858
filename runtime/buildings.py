"""Buildings out of a damage map: one object per connected group of building pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.damage import BACKGROUND, CLASS_NAMES, DAMAGE_CLASSES
from runtime.polygons import Ring, rings


@dataclass(frozen=True, eq=False)
class Building:
    """One 4-connected component of pixels whose damage is 1..4.

    damage_class: the class with the largest sum of confidence over the building's
        pixels; of equal sums, the more severe.
    confidence: mean probability, 0..1, of the pixels that voted for `damage_class`.
    area_px: all pixels of the building.
    shares: part of the area per class name; they sum to 1.
    rings: exterior ring, then holes (see `polygons.Ring`).
    """

    damage_class: int
    confidence: float
    area_px: int
    shares: Mapping[str, float]
    rings: tuple[Ring, ...]

    @property
    def damage(self) -> str:
        return CLASS_NAMES[self.damage_class]


def find_buildings(
    damage: NDArray[np.uint8], confidence: NDArray[np.uint8], min_area: int = 1
) -> list[Building]:
    """The buildings of uint8 [H,W] maps, from top to bottom; smaller than min_area left out.

    Pixels of NODATA belong to no building.
    """
    mask = ((damage > BACKGROUND) & (damage <= DAMAGE_CLASSES[-1])).view(np.uint8)
    count, found, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    labels = np.asarray(found, np.int32)
    pixels, votes = _votes(labels, count, damage, confidence)
    # A class without a pixel cannot win, even where every confidence is 0.
    votes = np.where(pixels > 0, votes, -1)
    severe_first = votes[:, ::-1]
    winners = DAMAGE_CLASSES[-1] - severe_first.argmax(axis=1)
    buildings = []
    for label in range(1, count):
        left, top, width, height, area = (int(value) for value in stats[label])
        if area < min_area:
            continue
        crop = labels[top : top + height, left : left + width] == label
        winner = int(winners[label])
        column = winner - DAMAGE_CLASSES[0]
        buildings.append(
            Building(
                damage_class=winner,
                confidence=float(votes[label, column] / pixels[label, column] / 255),
                area_px=area,
                shares={
                    CLASS_NAMES[each]: int(pixels[label, each - DAMAGE_CLASSES[0]]) / area
                    for each in DAMAGE_CLASSES
                },
                rings=rings(crop.view(np.uint8), left, top),
            )
        )
    return buildings


def _votes(
    labels: NDArray[np.int32],
    count: int,
    damage: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels, and the sum of their confidence, per component and damage class: [count,4]."""
    inside = labels > 0
    classes = len(DAMAGE_CLASSES)
    cells = labels[inside].astype(np.int64) * classes + (damage[inside] - DAMAGE_CLASSES[0])
    size = count * classes
    pixels = np.bincount(cells, minlength=size)
    # float64 sums of whole numbers below 2**53 are exact.
    votes = np.bincount(cells, weights=confidence[inside], minlength=size).astype(np.int64)
    return pixels.astype(np.int64).reshape(count, classes), votes.reshape(count, classes)

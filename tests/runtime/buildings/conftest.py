"""The same buildings found another way: by OpenCV's contours, in the whole map."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.buildings.outlines import Ring
from runtime.buildings.votes import Building, building_of, building_pixels, count_votes


@pytest.fixture(scope="session")
def contours() -> Callable[..., tuple[Ring, ...]]:
    """Exterior ring, then holes, of a uint8 [H,W] mask that is one 4-connected component."""
    return rings


@pytest.fixture(scope="session")
def by_contours() -> Callable[..., list[Building]]:
    """The buildings of uint8 [H,W] maps, from top to bottom."""

    def find(
        damage: NDArray[np.uint8], confidence: NDArray[np.uint8], min_area: int = 1
    ) -> list[Building]:
        mask = building_pixels(damage)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        pixels, votes = (each.tolist() for each in count_votes(labels, count, damage, confidence))
        found = []
        for label in range(1, count):
            left, top, width, height, area = (int(value) for value in stats[label])
            if area >= min_area:
                crop = labels[top : top + height, left : left + width] == label
                outline = rings(crop.view(np.uint8), left, top)
                found.append(building_of(pixels[label], votes[label], outline))
        return found

    return find


def rings(mask: NDArray[np.uint8], x: int = 0, y: int = 0) -> tuple[Ring, ...]:
    """Exterior ring, then holes, of a uint8 [H,W] mask that is one 4-connected component.

    (x, y) is added to every corner. The polygon's area is the number of pixels, and it
    is valid after OGC's simple features: holes touch other rings in points at most.
    By the numbers, the exterior runs counter-clockwise and holes clockwise (RFC 7946's
    right-hand rule): sum(x0*y1 - x1*y0) > 0 for the exterior. On a screen, where y
    grows downwards, that looks the other way round; turn the rings where a transform
    to geographic coordinates flips one axis.
    """
    height, width = mask.shape
    enlarged = cv2.resize(mask, (2 * width, 2 * height), interpolation=cv2.INTER_NEAREST)
    contours, hierarchy = cv2.findContours(enlarged, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    exterior: list[Ring] = []
    holes: list[Ring] = []
    for contour, (_, _, _, parent) in zip(contours, hierarchy[0], strict=True):
        corners = _corners(np.asarray((contour[:, 0, :] + 1) // 2, np.int32))
        outside = parent < 0
        if (_doubled_area(corners) > 0) != outside:
            corners = corners[::-1]
        (exterior if outside else holes).append(corners + np.array((x, y), np.int32))
    return (*exterior, *holes)


def _corners(points: Ring) -> Ring:
    """Only the points where the ring turns.

    Points are one step apart or equal, so equal ones go first, then straight ones.
    """
    moved: NDArray[np.bool_] = (points != np.roll(points, 1, axis=0)).any(axis=1)
    points = points[moved]
    steps = points - np.roll(points, 1, axis=0)
    turns: NDArray[np.bool_] = (steps != np.roll(steps, -1, axis=0)).any(axis=1)
    return points[turns]


def _doubled_area(ring: Ring) -> int:
    """Shoelace formula; positive for counter-clockwise by the numbers."""
    x, y = ring[:, 0].astype(np.int64), ring[:, 1].astype(np.int64)
    return int(x @ np.roll(y, -1) - y @ np.roll(x, -1))

"""The exact outline of a mask: rings along pixel edges, with OpenCV alone.

`cv2.findContours` gives the centres of border pixels, so its polygon lacks half a
pixel all around and has no area for a line of pixels. On a mask enlarged twice,
each border pixel lies beside one edge of the original grid, and parity says which:
an even coordinate is the first half of its pixel, an odd one the second.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.int32]
"""int32 [K,2] corners (x, y) on the pixel grid, the first not repeated at the end.

x grows to the right and y downwards from the image's top left corner; pixel (x, y)
covers x..x+1 and y..y+1.
"""


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

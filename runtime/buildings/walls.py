"""The outlines of the parts of a component: its straightened rings, and walls between them."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.buildings.fit import within
from runtime.buildings.outlines import Ring, corners_of, outlines
from runtime.buildings.straight import BEND, Points, Straight, rounded, unit_points

Place = tuple[int, int]
"""A grid point, x and y; or a ring's number and a position along it."""


class UncommonError(Exception):
    """Parts whose walls cannot be followed: they keep their exact outlines."""


def rings_of(labels: NDArray[np.int32], part: int) -> tuple[Ring, ...]:
    """The exact outline of one part in int32 [h,w] labels."""
    mask = np.pad((labels == part).astype(np.int32), 1)
    return outlines(corners_of(mask, 0))[1]


@dataclass(eq=False)
class Network:
    """A component's rings, as unit points and straightened, and what was found between them.

    labels: int32 [h,w], parts from 1, 0 outside.
    """

    labels: NDArray[np.int32]
    rings: list[NDArray[np.int32]]
    straight: list[Straight]
    tolerance: float
    _edge: dict[tuple[int, int, int, int], Place] = field(default_factory=dict)
    _place: dict[Place, Place | None] = field(default_factory=dict)
    _walls: dict[tuple[Place, ...], Points] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number, ring in enumerate(self.rings):
            ends = np.roll(ring, -1, axis=0)
            for position, (x, y, u, v) in enumerate(np.hstack([ring, ends]).tolist()):
                self._edge[x, y, u, v] = (number, position)
                # A point where rings touch is on no side of a wall for certain.
                self._place[x, y] = None if (x, y) in self._place else (number, position)

    def outline(self, part: int) -> tuple[Points, ...]:
        """Exterior, then holes. Raises UncommonError."""
        return tuple(self._around(part, unit_points(ring)) for ring in rings_of(self.labels, part))

    def _around(self, part: int, ring: NDArray[np.int32]) -> Points:
        beyond = self._beyond(ring)
        begins = np.flatnonzero(beyond != np.roll(beyond, 1))
        if not len(begins):
            if beyond[0]:
                return ring.astype(np.float64)
            return self.straight[self._edge_of(ring, 0)[0]].corners
        found: list[Points] = []
        for begin, end in zip(begins, [*begins[1:], begins[0] + len(ring)], strict=True):
            which = np.arange(begin, end + 1) % len(ring)
            other = int(beyond[begin])
            found.append(
                self._wall(part, other, ring[which]) if other else self._outer(ring, which)
            )
        points = np.vstack([each[:-1] for each in found])
        return np.asarray(points[(points != np.roll(points, 1, axis=0)).any(axis=1)])

    def _beyond(self, ring: NDArray[np.int32]) -> NDArray[np.int32]:
        """The part on the other side of each unit edge."""
        step = np.roll(ring, -1, axis=0) - ring
        # Twice the middle, and half a pixel to the right of the way.
        twice = 2 * ring + step + np.column_stack([step[:, 1], -step[:, 0]])
        column, row = (twice // 2).T
        height, width = self.labels.shape
        inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
        found = self.labels[np.where(inside, row, 0), np.where(inside, column, 0)]
        return np.asarray(np.where(inside, found, 0), np.int32)

    def _edge_of(self, ring: NDArray[np.int32], index: int) -> Place:
        (x, y), (u, v) = ring[index].tolist(), ring[(index + 1) % len(ring)].tolist()
        if (x, y, u, v) not in self._edge:
            raise UncommonError
        return self._edge[x, y, u, v]

    def _outer(self, ring: NDArray[np.int32], which: NDArray[np.intp]) -> Points:
        """Along one of the component's rings."""
        number, first = self._edge_of(ring, int(which[0]))
        same, last = self._edge_of(ring, int(which[-2]))
        length = len(self.rings[number])
        if same != number or (last + 1 - first) % length != (len(which) - 1) % length:
            raise UncommonError
        straight = self.straight[number]
        begin, start = self._moved(ring[which[0]])
        end, stop = self._moved(ring[which[-1]])
        count = len(straight.corners)
        turns = (end - begin) % count
        line = int(straight.lasts[begin] - straight.firsts[begin])
        if not turns and len(which) - 1 > line:
            turns = count
        corners = straight.corners[(begin + 1 + np.arange(turns)) % count]
        return np.vstack([start, corners, stop])

    def _moved(self, point: NDArray[np.int32]) -> tuple[int, Points]:
        """Where a grid point comes to lie, and on which line if it is one of a ring's."""
        x, y = point.tolist()
        if (x, y) not in self._place:
            return -1, point.astype(np.float64)
        place = self._place[x, y]
        if place is None:
            raise UncommonError
        number, position = place
        return self.straight[number].at(position, point.astype(np.float64), len(self.rings[number]))

    def _wall(self, part: int, other: int, path: NDArray[np.int32]) -> Points:
        """The same points from either side."""
        if part > other:
            return self._wall(other, part, path[::-1])[::-1]
        key = ((part, other), *map(tuple, path.tolist()))
        if key not in self._walls:
            self._walls[key] = self._straight_wall(path)
        return self._walls[key]

    def _straight_wall(self, path: NDArray[np.int32]) -> Points:
        begin, end = (self._moved(each)[1] for each in (path[0], path[-1]))
        exact = path.astype(np.float64)
        for line, bend in (((exact[1:] + exact[:-1]) / 2, BEND), (exact, BEND / 2), (exact, 0.0)):
            whole = np.vstack([begin, line[1:-1], end]).astype(np.float32)
            bent = cv2.approxPolyDP(whole[:, np.newaxis], bend, False)[1:-1, 0]
            wall = np.vstack([begin, rounded(bent.astype(np.float64)), end])
            if within(exact, wall, self.tolerance, closed=False):
                return wall
        raise UncommonError

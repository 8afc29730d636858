"""Is what a person drew the outline of a building?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from runtime.corrections.blob import Polygon, Ring
from runtime.errors import ConfigError

MOST_POINTS = 2_000
"""Each edge is compared with each other."""

EXPECTED = "expected a ring of three corners or more, x and y in pixels, that does not cross itself"


def checked(points: Sequence[Sequence[float]], height: int, width: int) -> Ring:
    """The ring, closed and without repeated corners.

    Raises ConfigError for one that is no valid polygon, or leaves a scene of height x width pixels.
    """
    try:
        ring = np.array(points, np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"a ring of corners that are no numbers; {EXPECTED}") from None
    if ring.ndim != 2 or ring.shape[1] != 2 or not np.isfinite(ring).all():
        raise ConfigError(f"a ring of corners that are no points; {EXPECTED}")
    if len(ring) > MOST_POINTS:
        raise ConfigError(f"a ring of {len(ring)} corners; expected at most {MOST_POINTS}")
    ring = ring[(ring != np.roll(ring, 1, axis=0)).any(axis=1)] if len(ring) > 1 else ring
    if len(ring) < 3:
        raise ConfigError(f"a ring of {len(ring)} different corners; {EXPECTED}")
    outside = (ring < 0) | (ring > (width, height))
    if outside.any():
        x, y = ring[outside.any(axis=1)][0].tolist()
        raise ConfigError(
            f"a ring with a corner at {x:g}, {y:g}, outside of the map; expected x from 0 to "
            f"{width} and y from 0 to {height}"
        )
    ring = np.concatenate([ring, ring[:1]])
    if area(ring) <= 0 or _crosses_itself(ring):
        raise ConfigError(f"a ring that crosses or touches itself, or has no area; {EXPECTED}")
    return ring


def area(ring: Ring) -> float:
    """Of a closed ring, without a sign."""
    x, y = (ring - ring[0]).T
    return float(abs(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1]))) / 2


def centre(polygon: Polygon) -> tuple[float, float]:
    """The centroid of the exterior; the mean of its corners where it has no area."""
    ring = polygon[0]
    x, y = (ring - ring[0]).T
    cross = x[:-1] * y[1:] - x[1:] * y[:-1]
    total = cross.sum()
    if abs(total) < 1e-300:
        mean = ring[:-1].mean(axis=0) if len(ring) > 1 else ring[0]
        return float(mean[0]), float(mean[1])
    at_x = ((x[:-1] + x[1:]) * cross).sum() / (3 * total) + ring[0, 0]
    at_y = ((y[:-1] + y[1:]) * cross).sum() / (3 * total) + ring[0, 1]
    return float(at_x), float(at_y)


def largest(polygons: Sequence[Polygon]) -> Polygon:
    return max(polygons, key=lambda polygon: area(polygon[0]))


def _crosses_itself(ring: Ring) -> bool:
    """Do two edges of a closed ring meet anywhere but where one follows the other?"""
    begin, end = ring[:-1], ring[1:]
    count = len(begin)
    first, second = np.triu_indices(count, 1)
    follow = (second - first == 1) | (second - first == count - 1)
    a, b, c, d = begin[first], end[first], begin[second], end[second]
    sides = [_side(a, b, c), _side(a, b, d), _side(c, d, a), _side(c, d, b)]
    across = (sides[0] * sides[1] < 0) & (sides[2] * sides[3] < 0)
    touching = np.zeros_like(across)
    for side, (p, q, r) in zip(sides, [(a, b, c), (a, b, d), (c, d, a), (c, d, b)], strict=True):
        touching |= (side == 0) & _within(p, q, r)
    if ((across | touching) & ~follow).any():
        return True
    return any(_turns_back(p, q, r) for (p, q), (_, r) in pairwise(_edges(ring)))


def _edges(ring: Ring) -> list[tuple[Ring, Ring]]:
    """Each edge, and the first once more."""
    edges = list(pairwise(ring))
    return [*edges, edges[0]]


def _turns_back(p: Ring, q: Ring, r: Ring) -> bool:
    """Does an edge q-r lie on the edge p-q before it?"""
    return bool(_side(p, q, r) == 0) and float(np.dot(q - p, r - q)) < 0


def _side(a: Ring, b: Ring, c: Ring) -> Ring:
    """The sign tells on which side of the line a-b the point c lies."""
    return np.asarray(
        np.sign(
            (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1])
            - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])
        )
    )


def _within(a: Ring, b: Ring, c: Ring) -> NDArray[np.bool_]:
    """Is a point of the line a-b between both?"""
    return np.asarray(((np.minimum(a, b) <= c) & (c <= np.maximum(a, b))).all(axis=-1))

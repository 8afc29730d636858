"""Whether an outline may take the place of another one: near enough, and crossing nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtime.buildings.straight import GRID, Points, following

SAMPLE = 0.25
"""Pixels from one point of an outline to the next at which it is compared."""

MOST_PAIRS = 1 << 20
"""Of edges, looked at at a time."""


def within(one: Points, other: Points, tolerance: float, closed: bool = True) -> bool:
    """Is no point of either line farther than `tolerance` from the other line?"""
    return near(one, other, tolerance, closed) and near(other, one, tolerance, closed)


def near(one: Points, other: Points, tolerance: float, closed: bool = True) -> bool:
    """Is no point of one line farther than `tolerance` from the other?"""
    limit = tolerance - SAMPLE / 2  # between two points that are compared it may be farther
    points = sampled(one, SAMPLE, closed)
    begin = other if closed else other[:-1]
    end = following(other) if closed else other[1:]
    (x, y), (u, v) = begin.T, (end - begin).T
    square = np.maximum(u * u + v * v, 1e-12)
    step = max(1, MOST_PAIRS // len(begin))
    for first in range(0, len(points), step):
        p, q = points[first : first + step, :, np.newaxis].transpose(1, 0, 2)
        p, q = p - x, q - y
        share = np.clip((p * u + q * v) / square, 0, 1)
        p, q = p - share * u, q - share * v
        if ((p * p + q * q).min(axis=1) > limit**2).any():
            return False
    return True


def sampled(line: Points, step: float, closed: bool = True) -> Points:
    """Points along a line, at most `step` apart."""
    end = following(line) if closed else line[1:]
    begin = line if closed else line[:-1]
    parts = np.maximum(np.ceil(np.hypot(*(end - begin).T) / step), 1).astype(np.intp)
    which = np.repeat(np.arange(len(begin)), parts)
    number = np.arange(len(which)) - np.repeat(np.cumsum(parts) - parts, parts)
    share = (number / parts[which])[:, np.newaxis]
    found = begin[which] + share * (end - begin)[which]
    return found if closed else np.vstack([found, line[-1:]])


def crossing(edges: NDArray[np.int64]) -> bool:
    """Do any two of these edges meet other than at an end that both have, or lie on each other?

    edges: int64 [N,2,2], begin and end in parts of a pixel (`GRID`), each edge once.
    """
    begin, end = edges[:, 0], edges[:, 1]
    if (begin == end).all(axis=1).any():
        return True
    low, high = np.minimum(begin, end), np.maximum(begin, end)
    step = max(1, MOST_PAIRS // max(len(edges), 1))
    for first in range(0, len(edges), step):
        some = slice(first, first + step)
        near = (low[some, np.newaxis] <= high).all(axis=2) & (high[some, np.newaxis] >= low).all(
            axis=2
        )
        i, j = np.nonzero(near)
        i = i + first
        i, j = i[i < j], j[i < j]
        if _meet(begin[i], end[i], begin[j], end[j]).any():
            return True
    return False


def _meet(
    a: NDArray[np.int64], b: NDArray[np.int64], c: NDArray[np.int64], d: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Of edges a-b and c-d whose boxes meet."""
    abc, abd = _side(a, b, c), _side(a, b, d)
    cda, cdb = _side(c, d, a), _side(c, d, b)
    touch = (abc * abd <= 0) & (cda * cdb <= 0)
    shared = sum(
        (one == other).all(axis=1).astype(np.int64)
        for one, other in ((a, c), (a, d), (b, c), (b, d))
    )
    # With an end in common they lie on each other only if they go the same way from there.
    flat = (abc == 0) & (abd == 0)
    first = (a == c).all(axis=1) | (a == d).all(axis=1)
    common = np.where(first[:, np.newaxis], a, b)
    other_one = a + b - common
    other_two = c + d - common
    same_way = ((other_one - common) * (other_two - common)).sum(axis=1) > 0
    return np.asarray(np.where(shared == 0, touch, np.where(shared == 1, flat & same_way, True)))


def _side(a: NDArray[np.int64], b: NDArray[np.int64], c: NDArray[np.int64]) -> NDArray[np.int64]:
    cross = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    return np.asarray(np.sign(cross), np.int64)


def on_grid(line: Points) -> NDArray[np.int64]:
    return np.round(line * GRID).astype(np.int64)

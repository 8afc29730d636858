"""Streets: a regular grid of blocks, or a few curved roads."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

STEP = 8.0
"""Distance between two points of a street, px."""

REACH = 60
"""How far a street goes on beyond the tile, px, so that lots at the border are like any other."""


@dataclass(frozen=True)
class Street:
    points: np.ndarray
    """float [K, 2] xy, `STEP` px apart."""
    width: float
    paved: bool


def lay_streets(rng: np.random.Generator, kind: str, size: int) -> list[Street]:
    if kind == "grid":
        return _grid(rng, size, (72, 104), (130, 220))
    if kind == "industrial":
        return _grid(rng, size, (120, 190), (190, 320))
    if kind == "curved":
        return [_winding(rng, size, 0.035) for _ in range(1 + round(size / 130))]
    return [_winding(rng, size, 0.015) for _ in range(max(1, round(size / 350)))]


def _grid(
    rng: np.random.Generator, size: int, near: tuple[int, int], far: tuple[int, int]
) -> list[Street]:
    """Two families of parallel lines; a few lines are left out, which makes larger blocks."""
    angle = rng.uniform(0, math.pi)
    half = size * 0.72 + REACH
    along = np.arange(-half, half, STEP)
    streets = []
    for turn, spacing in ((0.0, rng.uniform(*near)), (math.pi / 2, rng.uniform(*far))):
        forward = np.array([math.cos(angle + turn), math.sin(angle + turn)])
        sideways = np.array([-forward[1], forward[0]])
        offset = -half + rng.uniform(0, spacing)
        while offset < half:
            if rng.random() > 0.1:
                line = size / 2 + along[:, None] * forward + offset * sideways
                streets += _within(line, size, rng.uniform(8, 12), paved=True)
            offset += spacing * rng.uniform(0.9, 1.12)
    return streets


def _winding(rng: np.random.Generator, size: int, bend: float) -> Street:
    """A road through a point of the tile whose curvature drifts; `bend` is radians per px."""
    middle = rng.uniform(0.15, 0.85, 2) * size
    heading = rng.uniform(0, 2 * math.pi)
    count = int((size * 0.9 + REACH) / STEP)
    arms = []
    for direction in (0.0, math.pi):
        drift = np.cumsum(rng.normal(0, 0.25, count))
        turn = np.cumsum(np.tanh(drift) * bend * STEP * 0.35)
        angles = heading + direction + turn
        arms.append(middle + STEP * np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1), 0))
    points = np.concatenate([arms[1][::-1], middle[None], arms[0]])
    return Street(points, rng.uniform(7, 11), paved=bool(rng.random() < 0.75))


def _within(line: np.ndarray, size: int, width: float, *, paved: bool) -> list[Street]:
    inside = np.all((line > -REACH) & (line < size + REACH), axis=1)
    return [Street(line[inside], width, paved)] if inside.sum() >= 3 else []

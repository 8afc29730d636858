"""Disasters: how hard one strikes each place, and what that does to a building.

Damage follows the place, so that neighbours fare alike, and differs by event:
wind leaves a swath with soft edges, fire takes nearly all behind its front,
a flood follows the low ground, an earthquake comes in lumps around its centre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from runtime.damage import DESTROYED, MAJOR_DAMAGE, MINOR_DAMAGE, NO_DAMAGE
from train.synthetic import noise

KINDS = ("wind", "fire", "flood", "quake")
KIND_SHARES = (0.3, 0.2, 0.2, 0.3)
QUIET_SHARE = 0.15
"""Pairs that the disaster did not reach."""

GRID = 4
"""Fields are kept at a quarter of the resolution: nothing in them is finer."""

LIMITS = {
    "wind": (0.44, 0.66, 0.88),
    "fire": (0.42, 0.60, 0.80),
    "flood": (0.28, 0.58, 0.92),
    "quake": (0.47, 0.66, 0.84),
}
"""Strength above which a building is minor, major, destroyed."""


@dataclass(frozen=True)
class Event:
    kind: str
    field: np.ndarray
    """Strength around the tile: float32 [h, w] at 1/GRID resolution; 0 is none, 1 is total."""
    margin: int
    """px between the border of `field` and the tile's."""

    @property
    def quiet(self) -> bool:
        return not self.field.any()

    def strength(self, xy: np.ndarray) -> np.ndarray:
        """At points float [N, 2] of the tile: float [N]."""
        return sample(self.field, xy, self.margin)

    def everywhere(self) -> np.ndarray:
        """At full resolution, margins included."""
        return cv2.resize(self.field, None, fx=GRID, fy=GRID, interpolation=cv2.INTER_LINEAR)


def sample(field: np.ndarray, xy: np.ndarray, margin: int) -> np.ndarray:
    index = ((np.asarray(xy) + margin) / GRID).astype(int)
    rows = index[:, 1].clip(0, field.shape[0] - 1)
    cols = index[:, 0].clip(0, field.shape[1] - 1)
    return field[rows, cols]


def strike(rng: np.random.Generator, kind: str, relief: np.ndarray, margin: int) -> Event:
    """An event of `kind` over a tile whose ground is `relief` (float32 at 1/GRID resolution)."""
    if rng.random() < QUIET_SHARE:
        return Event(kind, np.zeros_like(relief), margin)
    rows, cols = relief.shape
    y, x = np.mgrid[0:rows, 0:cols].astype(np.float32)
    reach = cols * GRID
    middle = rng.uniform(0.2, 0.8, 2) * (cols, rows)
    angle = rng.uniform(0, 2 * math.pi)
    # Distances in px from a line through `middle`, and from `middle` itself.
    across = GRID * ((x - middle[0]) * math.sin(angle) - (y - middle[1]) * math.cos(angle))
    lumps = noise.fractal(rng, relief.shape, 14, 2)
    if kind == "wind":
        width = rng.uniform(0.24, 0.48) * reach
        field = rng.uniform(0.85, 1.05) * np.exp(-((across / width) ** 2)) + 0.06 * lumps
    elif kind == "fire":
        shift = rng.uniform(-0.15, 0.3) * reach
        field = 0.5 + (across + shift + 14 * lumps) / 110
    elif kind == "flood":
        level = np.quantile(relief, rng.uniform(0.45, 0.85))
        field = (level - relief) * 1.1
    else:
        away = GRID * np.hypot(x - middle[0], y - middle[1])
        field = rng.uniform(0.75, 0.95) * np.exp(-((away / (0.75 * reach)) ** 2)) + 0.17 * lumps
    return Event(kind, np.clip(field, 0, 1.3).astype(np.float32), margin)


def outcomes(rng: np.random.Generator, event: Event, centres: np.ndarray) -> np.ndarray:
    """The damage class of each building (float [N, 2] centres): int [N]."""
    if event.quiet or len(centres) == 0:
        return np.full(len(centres), NO_DAMAGE)
    luck = {"wind": 0.1, "fire": 0.08, "flood": 0.07, "quake": 0.1}[event.kind]
    suffered = event.strength(centres) + rng.normal(0, luck, len(centres))
    classes = np.array([NO_DAMAGE, MINOR_DAMAGE, MAJOR_DAMAGE, DESTROYED])
    result = classes[np.searchsorted(LIMITS[event.kind], suffered)]
    if event.kind == "fire":
        # A house that sparks missed stands untouched among the ashes.
        result[rng.random(len(centres)) < 0.07] = NO_DAMAGE
    return result

"""Random textures: smooth fields, sums of octaves, and blocky rubble."""

from __future__ import annotations

import cv2
import numpy as np


def smooth(rng: np.random.Generator, shape: tuple[int, int], cell: int) -> np.ndarray:
    """A field without structure finer than `cell` px: float32 [H, W], about zero mean, unit std."""
    rows, cols = shape[0] // cell + 3, shape[1] // cell + 3
    grid = rng.standard_normal((rows, cols), dtype=np.float32)
    if cell == 1:
        return grid[: shape[0], : shape[1]]
    field = cv2.resize(grid, (cols * cell, rows * cell), interpolation=cv2.INTER_CUBIC)
    # The outermost cells repeat the border value; start inside. 1.35 undoes the
    # averaging of the interpolation.
    return field[cell : cell + shape[0], cell : cell + shape[1]] * np.float32(1.35)


def fractal(
    rng: np.random.Generator, shape: tuple[int, int], cell: int, octaves: int, gain: float = 0.55
) -> np.ndarray:
    """Octaves of `smooth` from `cell` px downwards, scaled to about unit std."""
    total = np.zeros(shape, np.float32)
    weight, power = 1.0, 0.0
    for octave in range(octaves):
        total += weight * smooth(rng, shape, max(cell >> octave, 1))
        power += weight**2
        weight *= gain
    return total / np.float32(power**0.5)


def blocks(rng: np.random.Generator, shape: tuple[int, int], cell: int) -> np.ndarray:
    """Uniform values in [0, 1) that are constant on cells of `cell` px, cells offset by chance."""
    rows, cols = shape[0] // cell + 2, shape[1] // cell + 2
    grid = rng.random((rows, cols), dtype=np.float32)
    dy, dx = (int(value) for value in rng.integers(0, cell, 2))
    full = grid.repeat(cell, axis=0).repeat(cell, axis=1)
    return full[dy : dy + shape[0], dx : dx + shape[1]]


def rubble(
    rng: np.random.Generator, shape: tuple[int, int], palette: np.ndarray, cell: int = 2
) -> np.ndarray:
    """Broken pieces in the colours of `palette` (float [P, 3]): float32 [H, W, 3]."""
    coarse = (blocks(rng, shape, cell) * len(palette)).astype(np.intp)
    fine = (rng.random(shape, dtype=np.float32) * len(palette)).astype(np.intp)
    pieces = np.where(rng.random(shape, dtype=np.float32) < 0.3, fine, coarse)
    lit = 1 + 0.18 * rng.standard_normal(shape, dtype=np.float32)
    return palette.astype(np.float32)[pieces] * lit[..., None]

"""overlay.png of a scene of any size: the image after the disaster with the damage on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.damage import DAMAGE_CLASSES, NODATA
from runtime.errors import ImageError
from runtime.output.overlay import overlay, with_legend
from runtime.output.png import write_png
from runtime.scene.unfinished import Unfinished
from runtime.source.contract import Source

LARGEST = 2048
"""Pixels a side, at most; a larger scene is reduced by a whole number."""

PART = 4096
"""Pixels a side, about, of what is read at a time."""


def write_overlay(post: Source, work: Unfinished, path: Path) -> None:
    """Where `post` cannot be read the picture is black, with the damage all the same."""
    factor = -(-max(work.size) // LARGEST)
    shape = [-(-side // factor) for side in work.size]
    picture, damage = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint8)
    step = max(1, PART // factor) * factor
    for top, left, height, width in _parts(work.size, step):
        small = -(-height // factor), -(-width // factor)
        there = (
            slice(top // factor, top // factor + small[0]),
            slice(left // factor, left // factor + small[1]),
        )
        damage[there] = worst(work.read(top, left, height, width)[0], factor)
        try:
            picture[there] = post.reduced(top, left, height, width, small)
        except ImageError:  # told already, where the window was to be mapped
            continue
    write_png(path, with_legend(overlay(picture, damage), damage))


def _parts(size: tuple[int, int], step: int) -> Iterator[tuple[int, int, int, int]]:
    for top in range(0, size[0], step):
        for left in range(0, size[1], step):
            yield top, left, min(step, size[0] - top), min(step, size[1] - left)


def worst(damage: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Of each `factor` x `factor` pixels the worst class; without a building, NODATA if any is."""
    if factor == 1:
        return damage
    height, width = (-(-side // factor) for side in damage.shape)
    rank = np.where(damage > DAMAGE_CLASSES[-1], 1, 2 * damage).astype(np.uint8)
    rank = np.pad(rank, [(0, n * factor - side) for n, side in
                         zip((height, width), damage.shape, strict=True)])  # fmt: skip
    most = rank.reshape(height, factor, width, factor).max(axis=(1, 3))
    return np.where(most == 1, NODATA, most // 2).astype(np.uint8)

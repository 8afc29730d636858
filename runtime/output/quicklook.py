"""overlay.png of a scene of any size: the image after the disaster with the damage on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.damage import BACKGROUND, NODATA
from runtime.errors import ImageError
from runtime.output.overlay import overlay, with_legend
from runtime.output.png import write_png
from runtime.scene.unfinished import Unfinished
from runtime.source.contract import Pixels

LARGEST = 2048
"""Pixels a side, at most; a larger scene is reduced by a whole number."""

PART = 4096
"""Pixels a side, about, of what is read at a time."""


class Picture(Protocol):
    """What the damage is drawn on."""

    def reduced(
        self, top: int, left: int, height: int, width: int, size: tuple[int, int]
    ) -> Pixels:
        """As `source.contract.Source.reduced`."""
        ...


def write_overlay(post: Picture, work: Unfinished, path: Path) -> None:
    """Where `post` cannot be read the picture is black, with the damage all the same."""
    factor = -(-max(work.size) // LARGEST)
    shape = [-(-side // factor) for side in work.size]
    picture, damage = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint8)
    step = max(1, PART // factor) * factor
    for top, left, height, width in parts(work.size, step):
        small = -(-height // factor), -(-width // factor)
        there = (
            slice(top // factor, top // factor + small[0]),
            slice(left // factor, left // factor + small[1]),
        )
        here = work.whole("damage")[top : top + height, left : left + width]
        damage[there] = worst(here, factor)
        try:
            picture[there] = post.reduced(top, left, height, width, small)
        except ImageError:  # told already, where the window was to be mapped
            continue
    write_png(path, with_legend(overlay(picture, damage), damage))


def parts(size: tuple[int, int], step: int) -> Iterator[tuple[int, int, int, int]]:
    """Top, left, height and width of what is read at a time."""
    for top in range(0, size[0], step):
        for left in range(0, size[1], step):
            yield top, left, min(step, size[0] - top), min(step, size[1] - left)


def worst(damage: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Of each `factor` x `factor` pixels the worst class; without a building, NODATA if any is."""
    if factor == 1:
        return damage
    most = _most(damage, factor)
    if not (most == NODATA).any():
        return most
    classes = _most(np.where(damage == NODATA, np.uint8(BACKGROUND), damage), factor)
    return np.where(classes == BACKGROUND, most, classes)


def _most(values: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """The largest of each block; those at the right and the bottom may be smaller."""
    rows = np.zeros((-(-values.shape[0] // factor), values.shape[1]), np.uint8)
    most = np.zeros((len(rows), -(-values.shape[1] // factor)), np.uint8)
    for first in range(factor):  # rows and columns that are a block apart: faster than `reduceat`
        part = values[first::factor]
        np.maximum(rows[: len(part)], part, out=rows[: len(part)])
    for first in range(factor):
        part = rows[:, first::factor]
        np.maximum(most[:, : part.shape[1]], part, out=most[:, : part.shape[1]])
    return most

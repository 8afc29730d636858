"""A small copy of an image, kept as its windows go by, and what a person should know of it.

Nothing is read for it: a large scene is not decoded twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 1024
"""Pixels a side, at most."""

COLLAR = 0.02
"""Of an image: a border of one value that takes more is told."""

CLIPPED = 0.1
"""Of the known pixels: more that a scale makes 0 or 255 is told."""


class Seen:
    """Every n-th pixel of an image of [height,width], as stored, and where it is known.

    said: what was found when the image was opened.
    """

    def __init__(self, height: int, width: int) -> None:
        self.said: list[str] = []
        self._step = -(-max(height, width) // SIDE)
        self._shape = -(-height // self._step), -(-width // self._step)
        self._values: NDArray[Any] | None = None
        self._seen = np.zeros(self._shape, bool)
        self._known = np.zeros(self._shape, bool)

    def add(
        self, top: int, left: int, values: NDArray[Any], known: NDArray[np.bool_] | None
    ) -> None:
        """A window [3,h,w] of the image's own values; `known` None: all of it."""
        step = self._step
        values = values[:, -top % step :: step, -left % step :: step]
        row, column = -(-top // step), -(-left // step)
        there = slice(row, row + values.shape[1]), slice(column, column + values.shape[2])
        if self._values is None:
            self._values = np.zeros((3, *self._shape), values.dtype)
        self._values[:, there[0], there[1]] = values
        self._seen[there] = True
        self._known[there] = (
            True if known is None else known[-top % step :: step, -left % step :: step]
        )

    def clipped(self, scale: tuple[float, float] | None) -> float | None:
        """The share of known pixels with a band beyond the scale; None: there is no scale."""
        if scale is None or self._values is None or not self._known.any():
            return None
        values = self._values[:, self._known]
        return round(float(((values < scale[0]) | (values > scale[1])).any(axis=0).mean()), 4)

    def notes(self, path: Path, scale: tuple[float, float] | None) -> list[str]:
        """One line each."""
        found = [f"{path}: {each}" for each in self.said]
        value, share = self._collar()
        if share > COLLAR:
            found.append(
                f"{share:.0%} of {path} is exactly {value:g}, {value:g}, {value:g} at its border; "
                f"if that is no data: --nodata {value:g}"
            )
        clipped = self.clipped(scale)
        if scale and clipped is not None and clipped > CLIPPED:
            found.append(
                f"{clipped:.0%} of {path} lies outside of --scale {scale[0]:g} {scale[1]:g} and is "
                "cut to 0 or 255; each image can have its own: --scale LO HI --scale LO HI"
            )
        return found

    def _collar(self) -> tuple[float, float]:
        """The grey that most of the border has, and what share of the image hangs on it there."""
        if self._values is None:
            return 0.0, 0.0
        first = self._values[0]
        grey = self._known & (self._values == first).all(axis=0)
        nothing = self._seen & ~self._known
        beside = cv2.dilate(nothing.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        beside[[0, -1]] = beside[:, [0, -1]] = True
        values, counts = np.unique(first[grey & beside], return_counts=True)
        if not values.size:
            return 0.0, 0.0
        value = values[counts.argmax()]
        same = grey & (first == value)
        # Through what is not known: a collar need not reach the very edge of the file.
        _, labels = cv2.connectedComponents((same | nothing).astype(np.uint8), connectivity=4)
        edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        outside = same & np.isin(labels, np.setdiff1d(edge, 0))
        return float(value), float(outside.sum() / max(1, self._seen.sum()))


def shrunk(pixels: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """To be looked at: each pixel is the mean of those that it stands for."""
    return np.asarray(cv2.resize(pixels, shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)

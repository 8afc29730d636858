"""A map of a scene in a file, in which rows without a computed pixel are not written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Some = slice | NDArray[np.int64]
"""Rows or columns: of a part, or of single pixels."""


@dataclass(frozen=True, eq=False)
class Stored:
    """One byte a pixel of a scene of `shape`.

    written: rows of pixels that the file holds, first and the one after the last, from top to
        bottom. What it has elsewhere is never read as a map: a hole would be 0, no building.
    nothing: the map's value where nothing was computed, which all other rows have.
    """

    path: Path
    shape: tuple[int, int]
    written: Sequence[tuple[int, int]]
    nothing: int

    def __getitem__(self, where: tuple[Some, Some]) -> NDArray[np.uint8]:
        """Two slices, or row and column of each of some pixels.

        The file is mapped into memory until the result is gone, at most.
        """
        pixels = np.memmap(self.path, np.uint8, "r", shape=self.shape)[where]
        held = np.zeros(self.shape[0], bool)
        for begin, end in self.written:
            held[begin:end] = True
        holes = ~held[where[0]]
        if not holes.any():
            return np.asarray(pixels)
        found = np.array(pixels)
        found[holes] = self.nothing
        return found

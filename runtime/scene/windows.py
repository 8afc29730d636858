"""A scene as windows of the engine's size, and which of their pixels are kept.

The border rule: neighbouring windows overlap by twice the halo, and each pixel is taken from
the window in whose inner part it lies. At the scene's edge a window lies against it, so that
no ground is invented; only a scene smaller than the engine is padded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Span:
    """One dimension of a window, pixels: it begins at `start`, `begin` to `end` are kept."""

    start: int
    begin: int
    end: int


@dataclass(frozen=True)
class Window:
    """`row.start`, `column.start`: the top left pixel that the engine sees."""

    row: Span
    column: Span

    @property
    def kept(self) -> tuple[slice, slice]:
        """The part that is kept, of the window's own pixels."""
        return (
            slice(self.row.begin - self.row.start, self.row.end - self.row.start),
            slice(self.column.begin - self.column.start, self.column.end - self.column.start),
        )

    @property
    def place(self) -> tuple[slice, slice]:
        """The same part, of the scene's pixels."""
        return slice(self.row.begin, self.row.end), slice(self.column.begin, self.column.end)


@dataclass(frozen=True)
class Spans(Sequence[Span]):
    """One dimension of `window_rows`: each is computed when it is asked for."""

    length: int
    window: int
    halo: int

    def __len__(self) -> int:
        if self.length <= self.window:
            return min(1, self.length)
        return 1 - (self.window - self.length) // self._step

    @overload
    def __getitem__(self, index: int) -> Span: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Span]: ...
    def __getitem__(self, index: int | slice) -> Span | Sequence[Span]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        index = range(len(self))[index]
        start = index * self._step
        begin = start + self.halo if index else 0
        if index == len(self) - 1:
            return Span(max(0, self.length - self.window), begin, self.length)
        return Span(start, begin, start + self.window - self.halo)

    def __iter__(self) -> Iterator[Span]:
        step, last = self._step, len(self) - 1
        for start in range(0, last * step, step):
            begin = start + self.halo if start else 0
            yield Span(start, begin, start + self.window - self.halo)
        if last >= 0:
            yield self[last]

    def keeping(self, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of the window that keeps each of some pixels of this dimension."""
        return np.clip((pixels - self.halo) // self._step, 0, len(self) - 1)

    @property
    def _step(self) -> int:
        return self.window - 2 * self.halo


@dataclass(frozen=True)
class WindowRows:
    """Rows of windows from top to bottom, each built when it is asked for.

    A few bytes of a header can declare a scene of 10^12 pixels, so what this takes does not
    grow with the scene.

    wanted: bool [rows,columns], the windows that are asked for; None: all.
    """

    rows: Spans
    columns: Spans
    wanted: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Window, ...]:
        return tuple(self._row(index))

    def __iter__(self) -> Iterator[tuple[Window, ...]]:
        return (self[index] for index in range(len(self)))

    @property
    def count(self) -> int:
        """Windows in all rows."""
        return len(self.rows) * len(self.columns)

    def windows(self, rows: Sequence[int]) -> Iterator[Window]:
        """Those that are asked for of the rows with these numbers, one after the other."""
        if self.wanted is None:
            return (window for index in rows for window in self._row(index))
        wanted = self.wanted
        return (
            Window(self.rows[index], self.columns[column])
            for index in rows
            for column in wanted[index].nonzero()[0].tolist()
        )

    def _row(self, index: int) -> Iterator[Window]:
        row = self.rows[index]
        return (Window(row, column) for column in self.columns)


def mirrored(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """[h,w,3] as [H,W,3] of `size`: what a small scene lacks below and on the right is mirrored."""
    if image.shape[:2] == size:
        return image
    border = [(0, side - have) for side, have in zip(size, image.shape, strict=False)]
    return np.pad(image, (*border, (0, 0)), mode="symmetric")


def window_rows(size: tuple[int, int], engine: tuple[int, int], halo: int) -> WindowRows:
    """Windows from top to bottom, and in a row from left to right.

    Args:
        size: height and width of the scene, pixels.
        engine: height and width of the engine's input.
        halo: pixels along a window's inner edges that are not kept; less than half of it.
    Returns:
        The kept parts cover each pixel of the scene once.
    """
    rows, columns = (Spans(size[i], engine[i], halo) for i in (0, 1))
    return WindowRows(rows, columns)

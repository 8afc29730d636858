"""A scene as windows of the engine's size, and which of their pixels are kept.

The border rule: neighbouring windows overlap by twice the halo, and each pixel is taken from
the window in whose inner part it lies. At the scene's edge a window lies against it, so that
no ground is invented; only a scene smaller than the engine is padded.
"""

from __future__ import annotations

from dataclasses import dataclass


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


def window_rows(
    size: tuple[int, int], engine: tuple[int, int], halo: int
) -> list[tuple[Window, ...]]:
    """Windows from top to bottom, and in a row from left to right.

    Args:
        size: height and width of the scene, pixels.
        engine: height and width of the engine's input.
        halo: pixels along a window's inner edges that are not kept; less than half of it.
    Returns:
        The kept parts cover each pixel of the scene once.
    """
    rows, columns = (spans(size[i], engine[i], halo) for i in (0, 1))
    return [tuple(Window(row, column) for column in columns) for row in rows]


def spans(length: int, window: int, halo: int) -> list[Span]:
    """One dimension of `window_rows`."""
    found: list[Span] = []
    kept = 0
    while kept < length:
        start = max(0, kept - halo)
        if start + window >= length:
            found.append(Span(max(0, length - window), kept, length))
            break
        found.append(Span(start, kept, kept := start + window - halo))
    return found

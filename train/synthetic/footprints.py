"""Building shapes: rectangle, L, T and U, in the building's own frame.

The frame has u along the street and v away from it, in px, with its origin at
the middle of the bounding box. A shape is an outline and the rectangles that
carry its roof planes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Rect = tuple[float, float, float, float]
"""u0, v0, u1, v1."""


@dataclass(frozen=True)
class Shape:
    outline: np.ndarray
    """float [K, 2] uv, an open ring."""
    rects: tuple[Rect, ...]
    width: float
    depth: float


def rectangle(width: float, depth: float) -> Shape:
    return _centred([(0, 0), (width, 0), (width, depth), (0, depth)], [(0, 0, width, depth)])


def winged(rng: np.random.Generator, width: float, depth: float) -> Shape:
    """An L, T or U of the given bounding box, mirrored by chance."""
    bar = depth * rng.uniform(0.42, 0.58)
    wing = width * rng.uniform(0.3, 0.4)
    start = (width - wing) * rng.uniform(0.3, 0.7)
    form = rng.choice(["L", "T", "U"], p=[0.5, 0.25, 0.25])
    main = (0.0, 0.0, width, bar)
    if form == "L":
        ring = [(0, 0), (width, 0), (width, depth), (width - wing, depth), (width - wing, bar)]
        shape = _centred([*ring, (0, bar)], [main, (width - wing, 0, width, depth)])
    elif form == "T":
        stem = [(start + wing, bar), (start + wing, depth), (start, depth), (start, bar)]
        ring = [(0, 0), (width, 0), (width, bar), *stem, (0, bar)]
        shape = _centred(ring, [main, (start, bar / 2, start + wing, depth)])
    else:
        wing *= 0.85
        court = [(width - wing, depth), (width - wing, bar), (wing, bar), (wing, depth)]
        ring = [(0, 0), (width, 0), (width, depth), *court, (0, depth)]
        shape = _centred(ring, [main, (0, 0, wing, depth), (width - wing, 0, width, depth)])
    return _mirrored(shape) if rng.random() < 0.5 else shape


def _centred(ring: list[tuple[float, float]], rects: list[Rect]) -> Shape:
    outline = np.array(ring, float)
    width, depth = outline.max(0)
    outline -= (width / 2, depth / 2)
    moved = tuple(
        (u0 - width / 2, v0 - depth / 2, u1 - width / 2, v1 - depth / 2) for u0, v0, u1, v1 in rects
    )
    return Shape(outline, moved, float(width), float(depth))


def _mirrored(shape: Shape) -> Shape:
    rects = tuple((-u1, v0, -u0, v1) for u0, v0, u1, v1 in shape.rects)
    return Shape(shape.outline[::-1] * (-1, 1), rects, shape.width, shape.depth)

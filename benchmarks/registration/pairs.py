"""Pairs whose images lie beside each other by a field that is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

Both = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Down and across, pixels, [S,S] each."""

DESTROYED = 0.3
BLOCK = 128


def fields(side: int) -> dict[str, Both]:
    """What is planted."""
    return {
        "shift of 3.3, -2.7": _even(side, 3.3, -2.7),
        "shift of 8, 8": _even(side, 8, 8),
        "shift of 16, -16": _even(side, 16, -16),
        "rotation of 1 degree": _turned(side, 1.0),
        "terrain, up to 20": _hills(side, 20.0),
    }


def synthetic(count: int) -> dict[str, tuple[Any, Any]]:
    from train.synthetic.scene import make_scene

    with mock.patch("train.synthetic.photo.misregister", still):
        scenes = [make_scene(7, index, 1024) for index in range(count)]
    return {f"synthetic {index}": (each.pre, each.post) for index, each in enumerate(scenes)}


def still(rng: Any, size: int, margin: int) -> tuple[Any, Any, float]:
    """In place of `train.synthetic.photo.misregister`: the images lie on each other."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    return x + margin, y + margin, 0.0


def tiles(folder: Path) -> dict[str, tuple[Any, Any]]:
    from runtime.source.picture import read_image

    return {
        path.name.removesuffix("_pre_disaster.png"): (
            read_image(path), read_image(path.with_name(path.name.replace("_pre_", "_post_"))),
        )
        for path in sorted(folder.glob("*/images/*_pre_disaster.png"))
    }  # fmt: skip


def picture(pixels: NDArray[np.uint8]) -> Any:
    from runtime.source.picture import Picture
    from runtime.source.seen import Seen

    return Picture(Path("planted.png"), pixels, (), None, None, Seen(*pixels.shape[:2]))


def _even(side: int, down: float, across: float) -> Both:
    return np.full((side, side), down, np.float32), np.full((side, side), across, np.float32)


def _turned(side: int, degrees: float) -> Both:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    angle = np.deg2rad(degrees)
    down = (np.cos(angle) - 1) * y + np.sin(angle) * x
    across = -np.sin(angle) * y + (np.cos(angle) - 1) * x
    return down.astype(np.float32), across.astype(np.float32)


def _hills(side: int, most: float) -> Both:
    """Noise of a width of an eighth of the tile."""
    import cv2

    rng = np.random.default_rng(5)
    both = [
        cv2.GaussianBlur(rng.standard_normal((side, side)).astype(np.float32), (0, 0), side / 8)
        for _ in "yx"
    ]
    scale = most / float(np.hypot(*both).max())
    return both[0] * scale, both[1] * scale  # type: ignore[return-value]


def moved(image: NDArray[np.uint8], moves: Both) -> NDArray[np.uint8]:
    """The pixel at y was at y - moves(y)."""
    import cv2

    y, x = np.mgrid[: len(image), : len(image)].astype(np.float32)
    at = x - moves[1], y - moves[0]
    return np.asarray(
        cv2.remap(image, *at, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT), np.uint8
    )


def _at(values: Both, y: Any, x: Any) -> Both:
    import cv2

    down, across = (
        cv2.remap(each, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for each in values
    )
    return np.asarray(down, np.float32), np.asarray(across, np.float32)


def landing(moves: Both) -> Both:
    """How far the pixel that was at x has moved: u(x) = moves(x + u(x))."""
    y, x = np.mgrid[: len(moves[0]), : len(moves[0])].astype(np.float32)
    found = moves
    for _ in range(60):
        found = _at(moves, y + found[0], x + found[1])
    return found


def on_top(lay: Both, moves: Both) -> Both:
    """Where the image lay first, and then was moved."""
    y, x = np.mgrid[: len(lay[0]), : len(lay[0])].astype(np.float32)
    more = _at(landing(moves), y + lay[0], x + lay[1])
    return lay[0] + more[0], lay[1] + more[1]


def destroyed(image: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    found, side = image.copy(), len(image)
    cells = [(y, x) for y in range(-40, side, BLOCK) for x in range(-72, side, BLOCK)]
    order = np.random.default_rng(3).permutation(len(cells))[: round(DESTROYED * len(cells))]
    for y, x in (cells[i] for i in order):
        there = slice(max(0, y), y + BLOCK), slice(max(0, x), x + BLOCK)
        found[there] = other[there]
    return found

"""Images that lie beside each other by a field that is known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from runtime.source.picture import Picture
from runtime.source.seen import Seen


def texture(seed: int, height: int, width: int) -> np.ndarray:
    """uint8 [H,W,3], of blobs of several sizes and noise; no two places are alike."""
    rng = np.random.default_rng(seed)
    found = np.zeros((height, width, 3), np.float32)
    for sigma, share in ((1.5, 20), (4, 25), (12, 25)):
        noise = rng.standard_normal((height, width, 3)).astype(np.float32)
        blurred = cv2.GaussianBlur(noise, (0, 0), sigma)
        found += share * blurred / blurred.std()
    return np.clip(found + 120, 0, 255).astype(np.uint8)


def picture(pixels: np.ndarray, known: np.ndarray | None = None, path: str = "x.png") -> Picture:
    return Picture(Path(path), pixels, (), known, None, Seen(*pixels.shape[:2]))


def moved(pixels: np.ndarray, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """What lay at x lies at x + (down, across), each [H,W] and smooth: darker, hazy, noisy."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    at_y, at_x = y, x
    for _ in range(30):  # where the pixel came from
        here = [cv2.remap(each, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                for each in (down.astype(np.float32), across.astype(np.float32))]  # fmt: skip
        at_y, at_x = y - here[0], x - here[1]
    found = cv2.remap(pixels, at_x, at_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    noise = np.random.default_rng(1).normal(0, 3, found.shape)
    return np.clip(found * 0.7 + 40 + noise, 0, 255).astype(np.uint8)


def even(height: int, width: int, down: float, across: float) -> tuple[np.ndarray, np.ndarray]:
    return np.full((height, width), down), np.full((height, width), across)


def turned(side: int, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    angle = np.deg2rad(degrees)
    down = (np.cos(angle) - 1) * y + np.sin(angle) * x
    return down, -np.sin(angle) * y + (np.cos(angle) - 1) * x


def hills(side: int, most: float) -> tuple[np.ndarray, np.ndarray]:
    """As terrain leaves it, up to `most` pixels."""
    rng = np.random.default_rng(5)
    both = [cv2.GaussianBlur(rng.standard_normal((side, side)), (0, 0), side / 5) for _ in "yx"]
    largest = np.hypot(*both).max()
    return most * both[0] / largest, most * both[1] / largest


def destroyed(pixels: np.ndarray, share: float, block: int = 96) -> np.ndarray:
    """A share of the blocks replaced by something else."""
    other, found = texture(99, *pixels.shape[:2]), pixels.copy()
    height, width = pixels.shape[:2]
    cells = [(y, x) for y in range(-40, height, block) for x in range(-70, width, block)]
    order = np.random.default_rng(3).permutation(len(cells))[: round(share * len(cells))]
    for y, x in (cells[i] for i in order):
        there = slice(max(0, y), y + block), slice(max(0, x), x + block)
        found[there] = other[there]
    return found

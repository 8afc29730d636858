"""What a tile looks like, in a few numbers that can be compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from train.xbd import Tile

_STEP = 4
"""Every fourth pixel of every fourth row says as much about a tile's looks as all do."""


@dataclass(frozen=True)
class Looks:
    """Of one image; each in 0..1, `warmth` in -1..1."""

    brightness: float
    """Mean of the three channels."""
    contrast: float
    """Standard deviation of the brightness."""
    saturation: float
    """Mean distance between the largest and the smallest channel."""
    warmth: float
    """Mean of red less blue: soil, fire and dusk against water, haze and shadow."""

    def vector(self) -> list[float]:
        return [self.brightness, self.contrast, self.saturation, self.warmth]


def looks(image: np.ndarray) -> Looks:
    """Of a uint8 [H, W, 3] RGB image."""
    pixels = image[::_STEP, ::_STEP].astype(np.float32) / 255
    grey = pixels.mean(2)
    return Looks(
        brightness=float(grey.mean()),
        contrast=float(grey.std()),
        saturation=float((pixels.max(2) - pixels.min(2)).mean()),
        warmth=float((pixels[..., 0] - pixels[..., 2]).mean()),
    )


def looks_of_pair(tile: Tile) -> tuple[Looks, Looks]:
    """Before and after.

    Raises:
        ImageError: an image that cannot be read.
    """
    pre, post = tile.images()
    return looks(pre), looks(post)

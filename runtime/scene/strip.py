"""A part of a scene's finished maps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.damage import NODATA

NOT_COMPUTED = 0
"""In the maps of probabilities, where damage is NODATA. The confidence of what was computed is that
of the most likely of two or more classes, which is never near 0."""

EMPTY = {
    "damage": NODATA, "confidence": NOT_COMPUTED, "building": NOT_COMPUTED, "quality": NODATA,
    "sources": NODATA,
}  # fmt: skip
"""What each map holds where nothing was computed."""

PART_PIXELS = 1 << 20
"""What work on a part takes does not grow with the scene's width."""


@dataclass(frozen=True, eq=False)
class Strip:
    """Some rows of the maps, over the scene's full width.

    top: the first row's number in the scene.
    damage: uint8 [h,W], 0..4, 255 NODATA.
    confidence: uint8 [h,W].
    building: uint8 [h,W]; None where it is not asked for.
    quality: uint8 [h,W], see `runtime.source.quality`; None where it is not asked for.
    sources: uint8 [h,W], bit by bit the images that a fused map is from, see `scene.fused`.
    """

    top: int
    damage: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    building: NDArray[np.uint8] | None = None
    quality: NDArray[np.uint8] | None = None
    sources: NDArray[np.uint8] | None = None

    @property
    def is_empty(self) -> bool:
        """Was no pixel of it computed?"""
        maps = ((name, getattr(self, name)) for name in EMPTY)
        return all((each == EMPTY[name]).all() for name, each in maps if each is not None)

    def parts(self, pixels: int = PART_PIXELS) -> Iterator[Strip]:
        """The same rows without `building`, as strips of at most `pixels`, or of one row."""
        names = [name for name in EMPTY if name != "building" and getattr(self, name) is not None]
        height, width = self.damage.shape
        step = max(1, pixels // max(1, width))
        for begin in range(0, height, step):
            rows = slice(begin, begin + step)
            yield Strip(self.top + begin, **{name: getattr(self, name)[rows] for name in names})

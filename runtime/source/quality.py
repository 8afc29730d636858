"""Ground that cannot be judged: cloud, shadow, saturation and what has no texture, in either image.

Each image is looked at in cells of 16x16 pixels that begin at the scene's corner, in four measures:

- dark: the darkest of the least of the three bands. Ground has dark spots nearly everywhere; haze
  and cloud lift them (the dark channel of He, Sun and Tang, "Single image haze removal using dark
  channel prior", CVPR 2009).
- bright: the brightest of the greatest of the three bands. In deep shadow it is low.
- grey levels from one pixel to its neighbour, the mean: a filled collar, a lost scan line and
  the inside of a thick cloud have none.
- the share of pixels that are white in all bands.

Where a cell of the other image is there to compare with, thinner cloud and lighter shadow are
found as well: what is paler than before and smoother, or less than about half as bright.

A cell alone says little, a white roof is larger than one. So of 5x5 cells three fifths must have
been found, and these are made larger by one cell on each side, since cloud and shadow end softly.
What a pixel is depends on at most `REACH` pixels around it, less than the halo of a window.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.damage import NODATA
from runtime.source.contract import Known, Pixels

CELL = 16
"""Pixels a side."""

REACH = 4 * CELL - 1
"""Pixels: the rest of the cell, and three cells."""

CLEAR = 0

REASONS = ("shadow", "cloud", "no texture", "saturated")
"""By value from 1 for the image after, then for the image before. The last that holds is told."""

LAYER = ("clear", *(f"{why} after" for why in REASONS), *(f"{why} before" for why in REASONS))
"""What each value of the layer stands for."""

_SHADOW, _CLOUD, _FLAT, _WHITE = range(1, 5)

# Levels of 0 to 255, set on images of xBD: see docs/measurements/quality.md.
_CLOUD_DARK, _PALER_DARK, _PALER_BY, _SMOOTHER, _COLOURLESS = 150, 110, 35, 0.8, 45
_SHADOW_BRIGHT, _DARKER_BRIGHT, _DARKER_BY = 45, 80, 0.5
_FLAT_STEP = 0.6
_WHITE_FROM, _WHITE_SHARE = 250, 0.5

_MOST = 0.6
"""Of the known cells among 5x5."""


def hidden_after(layer: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the image after the event does not show the ground, of a layer [H,W]."""
    return np.asarray((layer > CLEAR) & (layer <= len(REASONS)))


def judged(
    pre: Pixels, post: Pixels, known: Known | None, top: int, left: int
) -> NDArray[np.uint8]:
    """The layer of a window whose first pixel is `top`, `left` of the scene: uint8 [H,W].

    0 where both images show the ground, 1 to 4 why the image after does not, 5 to 8 why the one
    before does not; NODATA where `known` is false.
    """
    height, width = post.shape[:2]
    grid = _Grid.of(height, width, known, top, left)
    before, after = (_Cells.of(image, grid) for image in (pre, post))
    first, second = _found(before, after, grid.known), _found(after, before, grid.known)
    cells = np.where(second > 0, second, np.where(first > 0, first + len(REASONS), 0))
    layer = cells.astype(np.uint8).repeat(CELL, 0).repeat(CELL, 1)
    y, x = grid.sides[0], grid.sides[2]
    layer = layer[y : y + height, x : x + width].copy()
    if known is not None:
        layer[~known] = NODATA
    return _uint8(layer)


@dataclass(frozen=True, eq=False)
class _Grid:
    """Whole cells around a window.

    sides: pixels that are added above, below, before and behind it.
    seen: uint8 [H,W], 1 where there is a known pixel. share: of each cell that is. known: the
        cells of which more than half is.
    """

    sides: tuple[int, int, int, int]
    seen: NDArray[np.uint8]
    share: NDArray[np.float32]
    known: Known

    @classmethod
    def of(cls, height: int, width: int, known: Known | None, top: int, left: int) -> _Grid:
        above, before = top % CELL, left % CELL
        sides = above, -(above + height) % CELL, before, -(before + width) % CELL
        there = np.ones((height, width), np.uint8) if known is None else known.astype(np.uint8)
        seen = _uint8(cv2.copyMakeBorder(there, *sides, cv2.BORDER_CONSTANT, value=(0,)))
        share = _mean(seen)
        return cls(sides, seen, share, share > 0.5)

    def mean(self, values: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Of the known pixels of each cell."""
        known = _mean(_uint8(cv2.multiply(values, self.seen)))
        return np.asarray(known / np.maximum(self.share, 1e-6), np.float32)


@dataclass(frozen=True, eq=False)
class _Cells:
    """The measures of an image's cells, [h,w] each."""

    dark: NDArray[np.float32]
    bright: NDArray[np.float32]
    colour: NDArray[np.float32]
    step: NDArray[np.float32]
    white: NDArray[np.float32]

    @classmethod
    def of(cls, image: Pixels, grid: _Grid) -> _Cells:
        whole = cv2.copyMakeBorder(image, *grid.sides, cv2.BORDER_REPLICATE)
        bands = cv2.split(whole)
        low = _uint8(cv2.min(cv2.min(bands[0], bands[1]), bands[2]))
        high = _uint8(cv2.max(cv2.max(bands[0], bands[1]), bands[2]))
        colour = _uint8(cv2.subtract(high, low))
        white = (low >= _WHITE_FROM).astype(np.uint8)
        grey = cv2.cvtColor(whole, cv2.COLOR_RGB2GRAY)
        step = _uint8(cv2.absdiff(grey, np.hstack([grey[:, :1], grey[:, :-1]])))
        if not grid.seen.all():
            low[grid.seen == 0], high[grid.seen == 0] = 255, 0
        return cls(
            _extreme(low, np.minimum), _extreme(high, np.maximum),
            *(grid.mean(each) for each in (colour, step, white)),
        )  # fmt: skip


def _extreme(values: NDArray[np.uint8], of: np.ufunc) -> NDArray[np.float32]:
    """Of each cell; means of 2x2 pixels, so that one pixel's noise does not tell."""
    halves = cv2.resize(values, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    side, (height, width) = CELL // 2, halves.shape
    rows = of.reduce(halves.reshape(height // side, side, width), axis=1)
    return np.asarray(of.reduce(rows.reshape(len(rows), -1, side), axis=2), np.float32)


def _mean(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    shape = values.shape[1] // CELL, values.shape[0] // CELL
    of_cells = cv2.resize(values.astype(np.float32), shape, interpolation=cv2.INTER_AREA)
    return np.asarray(of_cells, np.float32)


def _uint8(values: object) -> NDArray[np.uint8]:
    return np.asarray(values, np.uint8)


def _found(cells: _Cells, other: _Cells, known: Known) -> NDArray[np.uint8]:
    """Why each cell of an image cannot be judged, 1 to 4; 0: it can."""
    reason = np.zeros(known.shape, np.uint8)
    paler = (cells.dark > _PALER_DARK) & (cells.dark - other.dark > _PALER_BY)
    paler &= cells.step < _SMOOTHER * other.step
    # Beside a cloud of the other image all is dark.
    darker = (cells.bright < _DARKER_BRIGHT) & (cells.bright < _DARKER_BY * other.bright)
    darker &= other.dark <= _PALER_DARK
    reason[(cells.bright < _SHADOW_BRIGHT) | darker] = _SHADOW
    reason[(cells.colour < _COLOURLESS) & ((cells.dark > _CLOUD_DARK) | paler)] = _CLOUD
    reason[cells.step < _FLAT_STEP] = _FLAT
    reason[cells.white > _WHITE_SHARE] = _WHITE
    reason[~known] = 0
    found = _around(reason > 0)
    large = (found >= _MOST * _around(known) - 1e-3) & (found > 0.5)
    wide = cv2.dilate(large.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    nearest = np.where(reason > 0, reason, cv2.dilate(reason, np.ones((7, 7), np.uint8)))
    return np.where(wide, nearest, 0).astype(np.uint8)


def _around(cells: Known) -> NDArray[np.float32]:
    """How many of the 5x5 around each."""
    counts = cv2.boxFilter(
        cells.astype(np.float32), -1, (5, 5), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    return np.asarray(counts, np.float32)

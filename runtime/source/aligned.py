"""An image resampled bilinearly onto the grid of another, as it is read.

Values and what is known take the same way: a pixel is known only where all that it is mixed of is.
The grid is warped in blocks of one size that begin at its corner, so that a pixel's value does not
depend on the window that it is read with, and little is held at a time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.warp import reproject, transform

from runtime.source.contract import Known, Mask, Pixels
from runtime.source.georeference import Georeference
from runtime.source.raster import Raster
from runtime.source.seen import Seen, shrunk

BLOCK = (256, 512)
"""Pixels, height and width, of what is warped at a time."""

KEPT_BYTES = (64 << 20, 256 << 20)
"""Of blocks that are kept for the windows beside and below, at least and at most. What windows of
256 touch across 130,000 columns of 8 bits takes the most."""

UNSEEN = 1e-3
"""A share that what is not known may have in a pixel: rounding of the place gives some."""

_EVERY = 32
"""Pixels between the points that tell which part of the image a block needs."""

_SHOWS_NONE = "it shows none of the ground of the first image"


@dataclass(frozen=True, eq=False)
class _Part:
    """A block of the grid, and the window of the image that it needs, in pixels; None: none.

    inside: the window lies within the image, nothing is cut off.
    """

    top: int
    left: int
    height: int
    width: int
    window: tuple[int, int, int, int] | None
    inside: bool


@dataclass(frozen=True, eq=False)
class Aligned:
    """`image`, whose place is `place`, on `grid` of height x width pixels; a `Source`."""

    image: Raster
    place: Georeference
    grid: Georeference
    height: int
    width: int
    seen: Seen
    _kept: OrderedDict[tuple[int, int], tuple[NDArray[Any], Known]] = field(
        default_factory=OrderedDict
    )

    @property
    def path(self) -> Path:
        return self.image.path

    @property
    def scale(self) -> tuple[float, float] | None:
        return self.image.scale

    @property
    def georeference(self) -> Georeference | None:
        return self.grid

    def read(self, top: int, left: int, height: int, width: int) -> tuple[Pixels, Known | None]:
        stored, known = self._stored(top, left, height, width, self._bytes_across(height))
        self.seen.add(top, left, stored, known)
        return self.image.as_pixels(stored), known

    def look(self, top: int, left: int, height: int, width: int) -> tuple[Pixels, Known | None]:
        stored, known = self._stored(top, left, height, width, self._bytes_across(height))
        return self.image.as_pixels(stored), known

    def _stored(
        self, top: int, left: int, height: int, width: int, kept: int
    ) -> tuple[NDArray[Any], Known]:
        """[3,height,width] in the image's own values, and where it is known.

        kept: bytes of blocks.
        """
        stored = np.zeros((3, height, width), self.image.dataset.dtypes[self.image.bands[0] - 1])
        known = np.zeros((height, width), bool)
        for row in range(top // BLOCK[0], -(-(top + height) // BLOCK[0])):
            for column in range(left // BLOCK[1], -(-(left + width) // BLOCK[1])):
                values, there = self._block(row, column, kept)
                y, x = row * BLOCK[0] - top, column * BLOCK[1] - left
                target = (
                    slice(max(0, y), min(height, y + there.shape[0])),
                    slice(max(0, x), min(width, x + there.shape[1])),
                )
                part = tuple(
                    slice(max(0, -start), max(0, -start) + each.stop - each.start)
                    for start, each in zip((y, x), target, strict=True)
                )
                stored[:, target[0], target[1]] = values[:, part[0], part[1]]
                known[target] = there[part]
        return stored, known

    def masks(self, top: int, left: int, height: int, width: int) -> Iterator[Mask]:
        part = self._part(top, left, height, width)
        covered = self._covered(part)
        yield Mask("place", _SHOWS_NONE, covered)
        for mask in self.image.masks(*part.window) if part.window else ():
            yield Mask(mask.name, mask.alone, covered & self._all_of(part, mask.known))

    def reduced(
        self, top: int, left: int, height: int, width: int, shape: tuple[int, int]
    ) -> Pixels:
        stored, _ = self._stored(top, left, height, width, KEPT_BYTES[0])
        return shrunk(self.image.as_pixels(stored), shape)

    def decoded_bytes(self, height: int) -> int:
        return self.image.decoded_bytes(height)

    def close(self) -> None:
        """The image is closed by who opened it."""

    def _bytes_across(self, height: int) -> int:
        """Of what a row of windows of this height touches; if that is too much, as of any scene:
        of a row that does not fit whole, each block would be gone before its turn.
        """
        rows = -(-(height - 1) // BLOCK[0]) + 1
        columns = -(-self.width // BLOCK[1])
        pixel = 3 * np.dtype(self.image.dataset.dtypes[self.image.bands[0] - 1]).itemsize + 1
        needed = rows * columns * BLOCK[0] * BLOCK[1] * pixel
        least, most = KEPT_BYTES
        return needed if least < needed <= most else least

    def _block(self, row: int, column: int, kept: int) -> tuple[NDArray[Any], Known]:
        if (row, column) in self._kept:
            self._kept.move_to_end((row, column))
            return self._kept[row, column]
        top, left = row * BLOCK[0], column * BLOCK[1]
        height, width = min(BLOCK[0], self.height - top), min(BLOCK[1], self.width - left)
        block = self._warped(self._part(top, left, height, width))
        self._kept[row, column] = block
        while len(self._kept) * sum(each.nbytes for each in block) > kept:
            self._kept.popitem(last=False)
        return block

    def _warped(self, part: _Part) -> tuple[NDArray[Any], Known]:
        """[3,h,w] in the image's own values, and where they are known."""
        kind = self.image.dataset.dtypes[self.image.bands[0] - 1]
        values = np.zeros((3, part.height, part.width), kind)
        known = self._covered(part)
        if part.window is None:
            return values, known
        stored, there = self.image.stored(*part.window)
        if there is not None:
            stored = np.where(there, stored, stored.dtype.type(0))  # nodata may be enormous
            known = known & self._all_of(part, there)
        self._reproject(part, stored, values)
        return values, known

    def _covered(self, part: _Part) -> Known:
        """Where the image is."""
        shape = part.height, part.width
        if part.window is None or part.inside:
            return np.full(shape, part.inside)
        found = np.zeros(shape, np.float32)
        self._reproject(part, np.ones(part.window[2:], np.float32), found)
        return np.asarray(found > 0)

    def _all_of(self, part: _Part, known: Known) -> Known:
        """Where nothing but known pixels is mixed."""
        if known.all():
            return np.ones((part.height, part.width), bool)
        unseen = np.zeros((part.height, part.width), np.float32)
        self._reproject(part, (~known).astype(np.float32), unseen)
        return np.asarray(unseen < UNSEEN)

    def _reproject(self, part: _Part, stored: NDArray[Any], values: NDArray[Any]) -> None:
        assert part.window
        reproject(
            stored,
            values,
            src_crs=self.place.crs_wkt,
            src_transform=_from(self.place, *part.window[:2]),
            dst_crs=self.grid.crs_wkt,
            dst_transform=_from(self.grid, part.top, part.left),
            resampling=Resampling.bilinear,
        )

    def _part(self, top: int, left: int, height: int, width: int) -> _Part:
        rows, columns = (
            np.linspace(start, start + length, max(2, length // _EVERY + 1))
            for start, length in ((top, height), (left, width))
        )
        points = self.grid.to_map(np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2))
        found = transform(self.grid.crs_wkt, self.place.crs_wkt, points[:, 0], points[:, 1])
        points = np.column_stack([np.asarray(each, np.float64) for each in found])
        there = np.isfinite(points).all(axis=1)
        shape = self.image.dataset.shape
        if not there.any():
            return _Part(top, left, height, width, None, False)
        pixels = self.place.to_pixels(points[there])
        begin, end = [], []
        for each, length in zip(pixels.T[::-1], (height, width), strict=True):
            low, high = each.min(), each.max()
            # What the kernel reaches, more where pixels are made larger; and what lies between
            # the points. Where some points have no place there is no telling.
            margin = 4 + 4 * np.ceil((high - low) / length) + (0 if there.all() else high - low)
            begin.append(int(np.floor(low - margin)))
            end.append(int(np.ceil(high + margin)))
        inside = there.all() and all(
            b >= 0 and e <= side for b, e, side in zip(begin, end, shape, strict=True)
        )
        first = [max(0, each) for each in begin]
        size = [min(e, side) - f for e, side, f in zip(end, shape, first, strict=True)]
        window = (*first, *size) if min(size) > 0 else None
        return _Part(top, left, height, width, window, bool(inside))


def aligned(image: Raster, place: Georeference, first: Raster) -> Aligned:
    """`image`, which lies at `place`, on the grid of `first`, which has one."""
    grid = first.georeference
    assert grid
    seen = Seen(first.height, first.width)
    return Aligned(image, place, grid, first.height, first.width, seen)


def _from(place: Georeference, top: int, left: int) -> Affine:
    """Its transform, for an image that begins at that pixel."""
    (x, y), (a, b, _, d, e, _) = place.to_map(np.array([[left, top]]))[0], place.transform
    return Affine(a, b, x, d, e, y)

"""An image whose content lies beside that of another, read as if it lay on it.

Values and what is known take the same way, bilinearly: a pixel is known only where all that it is
mixed of is. A shift is a whole number of the steps that OpenCV's `remap` knows, so that a pixel's
value does not depend on the window that it is read with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.source.contract import Known, Mask, Pixels, Source
from runtime.source.field import STEPS, Field
from runtime.source.georeference import Georeference
from runtime.source.seen import Seen, shrunk

_MOVED_OFF = "all of it is moved off the first image by --register"

Read = Callable[[int, int, int, int], tuple[Pixels, Known | None]]


@dataclass(frozen=True, eq=False)
class _Way:
    """Where each pixel of a window comes from.

    window: what is needed of the image, pixels, one at least. rows, columns: float32 [h,w], of
    that window. inside: none of it was cut off.
    """

    window: tuple[int, int, int, int]
    rows: NDArray[np.float32]
    columns: NDArray[np.float32]
    inside: bool

    def of(self, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """[...,3] of the window, as they lie on the other image; its edge goes on beyond it."""
        found = cv2.remap(
            values, self.columns, self.rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(found, np.uint8)

    def known(self, known: Known | None) -> Known | None:
        """Where nothing but known pixels is mixed; None: everywhere."""
        if known is None or known.all():
            if self.inside:
                return None
            known = np.ones(self.window[2:], bool)
        unseen = cv2.remap(
            (~known).astype(np.float32), self.columns, self.rows, cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT, borderValue=1.0,
        )  # fmt: skip
        return np.asarray(unseen <= 0)


@dataclass(frozen=True, eq=False)
class Registered:
    """`image` through `field`, which says how far it lies beside the first; a `Source`."""

    image: Source
    field: Field

    @property
    def path(self) -> Path:
        return self.image.path

    @property
    def height(self) -> int:
        return self.image.height

    @property
    def width(self) -> int:
        return self.image.width

    @property
    def georeference(self) -> Georeference | None:
        return self.image.georeference

    @property
    def seen(self) -> Seen:
        return self.image.seen

    @property
    def scale(self) -> tuple[float, float] | None:
        return self.image.scale

    def read(self, top: int, left: int, height: int, width: int) -> tuple[Pixels, Known | None]:
        return self._through(self.image.read, top, left, height, width)

    def look(self, top: int, left: int, height: int, width: int) -> tuple[Pixels, Known | None]:
        return self._through(self.image.look, top, left, height, width)

    def masks(self, top: int, left: int, height: int, width: int) -> Iterator[Mask]:
        way = self._way(top, left, height, width)
        everywhere = np.ones((height, width), bool)
        covered = way.known(None)
        yield Mask("registration", _MOVED_OFF, everywhere if covered is None else covered)
        for mask in self.image.masks(*way.window):
            known = way.known(mask.known)
            yield Mask(mask.name, mask.alone, everywhere if known is None else known)

    def reduced(
        self, top: int, left: int, height: int, width: int, shape: tuple[int, int]
    ) -> Pixels:
        return shrunk(self.look(top, left, height, width)[0], shape)

    def decoded_bytes(self, height: int) -> int:
        return self.image.decoded_bytes(height + 2 * self.field.most()[0])

    def close(self) -> None:
        """The image is closed by who opened it."""

    def _through(
        self, read: Read, top: int, left: int, height: int, width: int
    ) -> tuple[Pixels, Known | None]:
        way = self._way(top, left, height, width)
        pixels, known = read(*way.window)
        return way.of(pixels), way.known(known)

    def _way(self, top: int, left: int, height: int, width: int) -> _Way:
        down, across = self.field.window(top, left, height, width)
        down += (np.arange(top, top + height, dtype=np.int32) * STEPS)[:, None]
        across += np.arange(left, left + width, dtype=np.int32) * STEPS
        first, size, inside = [], [], True
        for steps, side in ((down, self.height), (across, self.width)):
            begin, end = int(steps.min()) // STEPS, -(-int(steps.max()) // STEPS) + 1
            inside &= begin >= 0 and end <= side
            first.append(min(max(0, begin), side - 1))
            size.append(max(min(end, side) - first[-1], 1))
        rows, columns = (
            ((steps - STEPS * start) / np.float32(STEPS)).astype(np.float32)
            for steps, start in zip((down, across), first, strict=True)
        )
        return _Way((first[0], first[1], size[0], size[1]), rows, columns, inside)

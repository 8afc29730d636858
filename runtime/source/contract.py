"""What windows are read from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.source.georeference import Georeference
from runtime.source.seen import Seen

Pixels = NDArray[np.uint8]
"""[H,W,3] RGB."""

Known = NDArray[np.bool_]
"""[H,W], true where the image shows the ground."""

Scale = tuple[float, float]
"""The values that become 0 and 255; what lies between is mapped linearly."""


@dataclass(frozen=True)
class Asked:
    """What the user says of one image, where the file does not say it or says it wrongly.

    bands: from 1, those that are red, green and blue.
    nodata: pixels that are this in all three bands are not known.
    """

    bands: tuple[int, int, int] | None = None
    scale: Scale | None = None
    nodata: float | None = None


def asked_of_each(
    bands: tuple[int, int, int] | None,
    scale: Sequence[float] | None,
    nodata: Sequence[float | None],
) -> tuple[Asked, Asked]:
    """scale: two numbers for both images, or two for each. nodata: one for both, or one each."""
    scales = [(scale[i], scale[i + 1]) for i in range(0, len(scale), 2)] if scale else [None]
    values = nodata or [None]
    return Asked(bands, scales[0], values[0]), Asked(bands, scales[-1], values[-1])


@dataclass(frozen=True, eq=False)
class Mask:
    """What one mask of an image says of a window.

    name: to be listed with others. alone: a clause for an image of which it leaves nothing.
    """

    name: str
    alone: str
    known: Known


class Source(Protocol):
    """An image of `height` x `width` pixels; without `georeference` its place is not known.

    seen: a small copy of what was read, for what a person should be told.
    """

    @property
    def path(self) -> Path: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def georeference(self) -> Georeference | None: ...
    @property
    def seen(self) -> Seen: ...
    @property
    def scale(self) -> Scale | None: ...

    def read(self, top: int, left: int, height: int, width: int) -> tuple[Pixels, Known | None]:
        """A window, and where it is known: where every mask says so; None: everywhere.

        Raises ImageError where the file cannot be read there.
        """

    def look(self, top: int, left: int, height: int, width: int) -> tuple[Pixels, Known | None]:
        """As `read`, and nothing of it is noted in `seen`."""

    def masks(self, top: int, left: int, height: int, width: int) -> Iterator[Mask]:
        """What each mask says of the window; ImageError as for `read`."""

    def reduced(
        self, top: int, left: int, height: int, width: int, shape: tuple[int, int]
    ) -> Pixels:
        """The window at a smaller size, to be looked at; ImageError as for `read`."""

    def decoded_bytes(self, height: int) -> int:
        """Of the blocks that lie under a row of windows of this height, at most; 0: there are none,
        for all is decoded."""

    def close(self) -> None: ...

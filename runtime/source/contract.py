"""What windows are read from."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.source.georeference import Georeference

Pixels = NDArray[np.uint8]
"""[H,W,3] RGB."""

Known = NDArray[np.bool_]
"""[H,W], true where the image shows the ground."""


class Source(Protocol):
    """An image of `height` x `width` pixels; without `georeference` its place is not known."""

    @property
    def path(self) -> Path: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def georeference(self) -> Georeference | None: ...

    def read(self, top: int, left: int, height: int, width: int) -> tuple[Pixels, Known | None]:
        """A window, and where it is known; None: everywhere.

        Raises ImageError where the file cannot be read there.
        """

    def reduced(
        self, top: int, left: int, height: int, width: int, shape: tuple[int, int]
    ) -> Pixels:
        """The window at a smaller size, to be looked at; ImageError as for `read`."""

    def close(self) -> None: ...

"""A map or a picture as PNG."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime import files
from runtime.errors import ImageError


def write_png(path: Path | str, array: NDArray[np.uint8]) -> None:
    """uint8 [H,W] or [H,W,3] RGB to a PNG that appears whole or not at all."""
    picture = array if array.ndim == 2 else cv2.cvtColor(array, cv2.COLOR_RGB2BGR)
    encoded, content = cv2.imencode(".png", picture)
    if not encoded:
        raise ImageError(f"{path}: an array of shape {array.shape} cannot be written as PNG")
    files.write_bytes(Path(path), content.data)

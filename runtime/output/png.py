"""A map or a picture as PNG."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime import files
from runtime.errors import ImageError

_IHDR_END = 33
"""Signature and header: texts may follow."""


def write_png(
    path: Path | str, array: NDArray[np.uint8], tags: Mapping[str, str] | None = None
) -> None:
    """uint8 [H,W] or [H,W,3] RGB to a PNG that appears whole or not at all.

    tags: texts by keyword, all of ASCII.
    """
    picture = array if array.ndim == 2 else cv2.cvtColor(array, cv2.COLOR_RGB2BGR)
    encoded, content = cv2.imencode(".png", picture)
    if not encoded:
        raise ImageError(f"{path}: an array of shape {array.shape} cannot be written as PNG")
    if tags:
        texts = b"".join(_text(keyword, text) for keyword, text in tags.items())
        content = np.insert(content, _IHDR_END, np.frombuffer(texts, np.uint8))
    files.write_bytes(Path(path), content.data)


def _text(keyword: str, text: str) -> bytes:
    """A tEXt chunk."""
    body = b"tEXt" + keyword.encode("ascii") + b"\0" + text.encode("ascii")
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))

"""Rasterised targets kept on disk, so that a label is parsed once and not at every draw."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import cv2
import numpy as np

from runtime import files
from runtime.damage import IGNORE
from train.xbd import Tile

FORMAT = "masks/2"
"""To be raised when the rasterisation, what is checked before it, or the packing changes: old
files are then not found."""

# A pixel is one byte: the damage target in the low three bits, the building target above.
_IGNORE_CODE = 5
_BUILDING_BIT = 3
_UNPACK_DAMAGE = np.arange(256, dtype=np.uint8) & 7
_UNPACK_DAMAGE[_UNPACK_DAMAGE == _IGNORE_CODE] = IGNORE


class MaskCache:
    """Targets by the tile and the content of its labels: a changed label has another file.

    Processes may share `folder`: a file appears whole, and all write the same.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def targets(self, tile: Tile, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """`Tile.targets`: building (0, 1) and damage (0..4, 255), uint8 [H, W]."""
        path = self.folder / f"{_key(tile, height, width)}.mask"
        packed = _read(path, height, width)
        if packed is None:
            building, damage = tile.targets(height, width)
            code = np.where(damage == IGNORE, _IGNORE_CODE, damage).astype(np.uint8)
            packed = building << _BUILDING_BIT | code
            files.write_unsynced(path, zlib.compress(packed.tobytes(), 3))
            return building, damage
        return packed >> _BUILDING_BIT, cv2.LUT(packed, _UNPACK_DAMAGE)


def _key(tile: Tile, height: int, width: int) -> str:
    digest = hashlib.sha256(f"{FORMAT} {tile.name} {height}x{width}".encode())
    for label in tile.labels:
        content = label.read_bytes()
        digest.update(f" {len(content)} ".encode() + content)
    return digest.hexdigest()


def _read(path: Path, height: int, width: int) -> np.ndarray | None:
    """uint8 [H, W], or None where the file is absent or, by its checksum, damaged."""
    try:
        packed = np.frombuffer(zlib.decompress(path.read_bytes()), np.uint8)
    except (FileNotFoundError, zlib.error):
        return None
    return packed.reshape(height, width) if packed.size == height * width else None

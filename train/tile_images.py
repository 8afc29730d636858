"""The images that crops are cut from: decoded whole, or kept on disk and read by the window."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from runtime.source import png
from runtime.source.picture import read_image
from train.augment import Sample
from train.window_cache import Pair, StoredPair, WindowCache, content_of
from train.xbd import Tile


class Images(Protocol):
    """A pair of images of one size."""

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    def window(self, top: int, left: int, side: int) -> Pair:
        """Both, uint8 [side, side, 3] RGB."""


@dataclass(frozen=True, eq=False)
class LoadedTile:
    """Images, and both targets whole: uint8 [H, W]."""

    images: Images
    building: np.ndarray
    damage: np.ndarray

    def window(self, top: int, left: int, side: int) -> Sample:
        pre, post = self.images.window(top, left, side)
        window = slice(top, top + side), slice(left, left + side)
        return {
            "pre": pre,
            "post": post,
            "building": self.building[window],
            "damage": self.damage[window],
        }


@dataclass(frozen=True, eq=False)
class DecodedImages:
    """pre, post: uint8 [H, W, 3] RGB."""

    pre: np.ndarray
    post: np.ndarray

    @property
    def height(self) -> int:
        return self.pre.shape[0]

    @property
    def width(self) -> int:
        return self.pre.shape[1]

    def window(self, top: int, left: int, side: int) -> Pair:
        window = slice(top, top + side), slice(left, left + side)
        return self.pre[window], self.post[window]


class StoredTiles:
    """The images of each tile as they were when it was checked, from `cache` as long as it has
    them whole, else from their own files."""

    def __init__(self, cache: WindowCache, contents: Iterable[str]) -> None:
        """contents: `content_of` each tile, in order."""
        self.cache = cache
        self._contents = b"".join(map(bytes.fromhex, contents))

    def images(self, index: int, tile: Tile) -> Images:
        content = self._contents[32 * index : 32 * (index + 1)].hex()
        pair = self.cache.find(content)
        return _Stored(self, pair, content, tile) if pair else self.from_files(content, tile)

    def from_files(self, content: str, tile: Tile) -> DecodedImages:
        """Decoded, and kept for the next time: by another node's disk, or after damage."""
        images = decoded(tile)
        if content_of(images.pre, images.post) == content:
            with contextlib.suppress(OSError):
                self.cache.write(content, images.pre, images.post)
        return images


@dataclass(frozen=True, eq=False)
class _Stored:
    tiles: StoredTiles
    pair: StoredPair
    content: str
    tile: Tile

    @property
    def height(self) -> int:
        return self.pair.height

    @property
    def width(self) -> int:
        return self.pair.width

    def window(self, top: int, left: int, side: int) -> Pair:
        found = self.pair.window(top, left, side)
        return found or self.tiles.from_files(self.content, self.tile).window(top, left, side)


def decoded(tile: Tile) -> DecodedImages:
    """`Tile.images`, in little more than half its time."""
    pre, post = _decode(tile.pre), _decode(tile.post)
    if pre.shape != post.shape:
        pre, post = tile.images()  # which says what is wrong
    return DecodedImages(pre, post)


def _decode(path: Path) -> np.ndarray:
    """uint8 [H, W, 3] RGB.

    The check before training, at this start or, for a file that has not changed since, at an
    earlier one, has unpacked every PNG to see that nothing is missing. That costs nearly as
    much as decoding, so a draw looks only for the end, which a file cut off since has lost: some
    versions of OpenCV fill the rest with black (see runtime/source/png.py).
    """
    content = path.read_bytes()
    bits_and_colours = content[24:26]
    whole = content.startswith(png.SIGNATURE) and content.rfind(b"IEND") >= 0
    if not whole or bits_and_colours != b"\x08\x02":  # 8-bit RGB
        return read_image(path)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    return read_image(path) if pixels is None else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)

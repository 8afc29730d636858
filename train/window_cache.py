"""Decoded tiles on disk, of which a window is read without the rest.

A file is named by its content, so a changed image has another one, and processes, runs and data
sets may share a folder. It holds [H, 2, W, 3] uint8: each row of the image before and, beside it,
that of the image after, so that a window is one read of consecutive bytes. They are not
compressed: to unpack what a window needs takes ten times as long as to read it.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
import struct
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime import files
from runtime.errors import ConfigError, ToolkitError
from runtime.source import png
from train.xbd import Tile

Pair = tuple[np.ndarray, np.ndarray]
"""The images before and after, uint8 [H, W, 3] RGB each."""

_MAGIC = b"xbd-pair/1\n"
_HEAD = struct.Struct(f"<{len(_MAGIC)}s32sII")
"""Format, content, height, width. The checksums of the bands follow, then that of all these."""
_BAND = 8
"""Rows under one checksum: a window reads at most seven more on each side."""
_PAGE = 4096
_STALE_SECONDS = 3600
"""Age of a temporary file whose writer is gone; to write one takes milliseconds."""


def content_of(pre: np.ndarray, post: np.ndarray) -> str:
    """Fingerprint of a pair's pixels, whatever the files are named or how they are stored."""
    digest = hashlib.sha256(f"{pre.shape}".encode())
    for image in (pre, post):
        digest.update(np.ascontiguousarray(image))
    return digest.hexdigest()


def file_size(height: int, width: int) -> int:
    """Bytes that the file of a pair takes: 6.3 MB for 1024x1024."""
    return _start(height) + height * 2 * width * 3


class WindowCache:
    """Processes may share `folder`: a file appears whole, and all write the same."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def holds(self, content: str, height: int, width: int) -> bool:
        """Is there a file of the right length? What is in it is checked as it is read."""
        try:
            return self.path(content).stat().st_size == file_size(height, width)
        except OSError:
            return False

    def write(self, content: str, pre: np.ndarray, post: np.ndarray) -> None:
        """Keep a pair; `content` is its `content_of`."""
        height, width = pre.shape[:2]
        rows = np.stack([pre, post], axis=1)
        sums = [zlib.crc32(rows[top : top + _BAND]) for top in range(0, height, _BAND)]
        head = _HEAD.pack(_MAGIC, bytes.fromhex(content), height, width)
        head += struct.pack(f"<{len(sums)}I", *sums)
        head += struct.pack("<I", zlib.crc32(head))
        files.write_unsynced(self.path(content), head.ljust(_start(height), b"\0"), rows.data)

    def find(self, content: str) -> StoredPair | None:
        """What is kept of a pair; None where there is nothing, or nothing whole."""
        path = self.path(content)
        try:
            with path.open("rb") as file:
                head = file.read(_PAGE)
                _, named, height, width = _HEAD.unpack_from(head)
                size = _HEAD.size + 4 * _bands(height) + 4
                head += file.read(max(0, size - len(head)))
        except (OSError, struct.error):
            return None
        (total,) = struct.unpack_from("<I", head, size - 4) if len(head) >= size else (None,)
        if total != zlib.crc32(head[: size - 4]) or not head.startswith(_MAGIC):
            return None
        if named.hex() != content:
            return None
        sums = struct.unpack_from(f"<{_bands(height)}I", head, _HEAD.size)
        return StoredPair(path, height, width, sums)

    def prepare(self, tiles: Sequence[Tile]) -> None:
        """Before the first of `tiles` is written.

        Raises:
            ConfigError: the disk has no room for all of them.
            OSError: nothing can be written there, and something is to be.
        """
        for each in self.folder.glob("??/.*.partial*"):
            # Of a process that was killed as it wrote, which takes milliseconds.
            with contextlib.suppress(OSError):
                if time.time() - each.stat().st_mtime > _STALE_SECONDS:
                    each.unlink()
        # The other ranks write as much, to the same disk or, as they draw, to their own.
        need = sum(_sizes(tiles)) * int(os.environ.get("WORLD_SIZE", "1"))
        # What another run has kept there may be just these tiles.
        need -= sum(each.stat().st_size for each in self.folder.glob("??/*.pair"))
        if need <= 0:
            return
        files.check_writable(self.folder / "of-a-pair")
        free = _free(self.folder)
        if free < need:
            raise ConfigError(
                f"data.cache=disk: the decoded tiles need {need / 1e9:.2f} GB more and "
                f"{self.folder} has {free / 1e9:.2f} GB free; make room, name a folder on another "
                "disk as data.cache_folder, or set data.cache=none"
            )

    def path(self, content: str) -> Path:
        return self.folder / content[:2] / f"{content}.pair"


@dataclass(frozen=True)
class StoredPair:
    """A pair's file, whose head was sound."""

    path: Path
    height: int
    width: int
    sums: Sequence[int]

    def window(self, top: int, left: int, side: int) -> Pair | None:
        """Rows [top, top + side) and columns [left, left + side) of both; None where the file
        is damaged or cannot be read.

        A file that is mapped to memory would end the process where the disk fails.
        """
        row = 2 * self.width * 3
        first, last = top // _BAND, -(-(top + side) // _BAND)
        begin, end = first * _BAND, min(last * _BAND, self.height)
        try:
            with self.path.open("rb", buffering=0) as file:
                content = os.pread(
                    file.fileno(), (end - begin) * row, _start(self.height) + begin * row
                )
        except OSError:
            return None
        if len(content) != (end - begin) * row:
            return None
        whole = memoryview(content)
        for index in range(first, last):
            at = (index - first) * _BAND * row
            if zlib.crc32(whole[at : at + _BAND * row]) != self.sums[index]:
                return None
        rows = np.frombuffer(content, np.uint8).reshape(end - begin, 2, self.width, 3)
        inside = rows[top - begin : top - begin + side, :, left : left + side]
        return np.ascontiguousarray(inside[:, 0]), np.ascontiguousarray(inside[:, 1])


def _sizes(tiles: Iterable[Tile]) -> Iterator[int]:
    """Bytes of each tile's file, by the head of a PNG; images of another format have to be
    decoded for it, so the first stands for all of them. What cannot be read, the check names.
    """
    another = 0
    for tile in tiles:
        with contextlib.suppress(OSError, ToolkitError, struct.error):
            with tile.pre.open("rb") as file:
                head = file.read(24)
            if head.startswith(png.SIGNATURE):
                width, height = struct.unpack_from(">II", head, 16)
                yield file_size(height, width)
                continue
            another = another or file_size(*tile.images()[0].shape[:2])
            yield another


def _free(folder: Path) -> int:
    above = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    return shutil.disk_usage(above).free


def _bands(height: int) -> int:
    return math.ceil(height / _BAND)


def _start(height: int) -> int:
    """Where the pixels begin, on a page of their own."""
    return -(-(_HEAD.size + 4 * _bands(height) + 4) // _PAGE) * _PAGE

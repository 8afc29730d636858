"""The blocks of a raster file: those that were never written, and those that are damaged.

A writer that dies leaves a TIFF with blocks that have no place in the file; GDAL reads them as 0.
Damaged data is often decoded all the same: with a warning, or, where Deflate's checksum is not
looked at and where zeros are codes of LZW, with none. Blocks are looked at as windows touch them,
each once.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from runtime.errors import reason
from runtime.source import complaints, trusted
from runtime.source.contract import Known
from runtime.source.huffman import erased

REMEMBERED = 100_000
"""Blocks known to be whole, at most: 10 MB."""

_PIECE = 1 << 22

_ERASED = bytes(16)
"""Nine LZW codes, or more, that each stand for one zero. Two follow each other at most: the encoder
knows the pair by then. ZSTD and WEBP do not tell: good data have hundreds of zero bytes."""

Block = tuple[int, int]
"""Row and column, in blocks."""


class DamagedError(Exception):
    """What is wrong with the block of a window."""


def again(dataset: Any) -> Any:
    """The file, opened once more: with no block decoded, and none kept."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(dataset.name, driver=dataset.driver)


class Blocks:
    """Of the `bands`, from 1, that are used of an open file."""

    def __init__(self, path: Path, dataset: Any, bands: tuple[int, ...]) -> None:
        self._path, self._dataset, self._bands = path, dataset, bands
        self._shape: tuple[int, int] = dataset.block_shapes[bands[0] - 1]
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
        self._is_tiff = dataset.driver == "GTiff"
        self._planes = bands if structure.get("INTERLEAVE") == "BAND" else bands[:1]
        compression = structure.get("COMPRESSION", "") if self._is_tiff else ""
        self._is_deflate, self._is_jpeg = compression == "DEFLATE", "JPEG" in compression
        self._is_lzw = compression == "LZW"
        self._file: IO[bytes] | None = None
        self._whole: set[tuple[int, Block]] = set()
        self._damaged: dict[Block, str] = {}

    def close(self) -> None:
        if self._file:
            self._file.close()

    def written(self, window: Window) -> Known | None:
        """Where every band has a block in the file; None: everywhere."""
        if not self._is_tiff:
            return None
        known: NDArray[np.bool_] | None = None
        for block in self._in(window):
            if all(self._tag("OFFSET", plane, block) for plane in self._planes):
                continue
            if known is None:
                known = np.ones((window.height, window.width), bool)
            rows, columns = (
                slice(max(0, index * side - int(start)), max(0, (index + 1) * side - int(start)))
                for index, side, start in zip(
                    block, self._shape, (window.row_off, window.col_off), strict=True
                )
            )
            known[rows, columns] = False
        return known

    def read(self, window: Window, read: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """What `read` gives of the window; DamagedError where data are misread or cannot be."""
        self._check(window)
        found = self.looked_at(window, read)
        for block in self._in(window) if self._damaged else ():
            if block in self._damaged:
                raise DamagedError(self._damaged[block])
        return found

    def looked_at(self, window: Window, read: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """The same, misread where data are damaged; DamagedError where there is nothing."""
        try:
            with complaints.of_gdal() as messages:
                found = read()
        except trusted.FAILURES as error:
            raise DamagedError(reason(error.__cause__ or error)) from error
        if messages:
            self._find_damaged(window, messages[0])
        return found

    def _find_damaged(self, window: Window, message: str) -> None:
        """Which blocks it was: GDAL keeps what it decoded and does not complain again."""
        found = {}
        with again(self._dataset) as dataset:
            for block in self._in(window):
                try:
                    with complaints.of_gdal() as messages:
                        dataset.read(self._bands, window=self._window_of(block))
                except trusted.FAILURES as error:
                    messages = [reason(error.__cause__ or error)]
                if messages:
                    found[block] = messages[0]
        self._damaged |= found or dict.fromkeys(self._in(window), message)

    def _check(self, window: Window) -> None:
        """Raises DamagedError for a block whose data contradict themselves."""
        if not (self._is_deflate or self._is_jpeg or self._is_lzw):
            return
        for block in self._in(window):
            for plane in self._planes:
                if (plane, block) in self._whole:
                    continue
                if wrong := self._wrong(plane, self._data(plane, block)):
                    raise DamagedError(f"block {block[0]}, {block[1]} cannot be unpacked: {wrong}")
                if len(self._whole) == REMEMBERED:
                    self._whole.clear()
                self._whole.add((plane, block))

    def _wrong(self, plane: int, data: bytes) -> str | None:
        if self._is_deflate:
            return _deflate(data) if data else None
        if self._is_lzw:
            return "a part of its data are zeros" if _ERASED in data else None
        tables = self._dataset.get_tag_item("JPEGTABLES", "TIFF", bidx=plane) or ""
        return erased(data, bytes.fromhex(tables))

    def _data(self, plane: int, block: Block) -> bytes:
        offset, size = (self._tag(name, plane, block) for name in ("OFFSET", "SIZE"))
        if self._file is None:
            self._file = self._path.open("rb")
        self._file.seek(offset)
        return self._file.read(size)

    def _tag(self, name: str, plane: int, block: Block) -> int:
        """0 where the block has none."""
        key = f"BLOCK_{name}_{block[1]}_{block[0]}"
        return int(self._dataset.get_tag_item(key, "TIFF", bidx=plane) or 0)

    def _in(self, window: Window) -> Iterator[Block]:
        rows, columns = (
            range(int(start) // side, -(-int(start + length) // side))
            for start, length, side in zip(
                (window.row_off, window.col_off),
                (window.height, window.width),
                self._shape,
                strict=True,
            )
        )
        return ((row, column) for row in rows for column in columns)

    def _window_of(self, block: Block) -> Window:
        top, left = block[0] * self._shape[0], block[1] * self._shape[1]
        height = min(self._shape[0], self._dataset.height - top)
        return Window(left, top, min(self._shape[1], self._dataset.width - left), height)


def _deflate(data: bytes) -> str | None:
    """What is wrong with it: the decoder in TIFF libraries stops before the checksum."""
    stream = zlib.decompressobj()
    try:
        while not stream.eof and data:
            if not stream.decompress(data, _PIECE) and not stream.unconsumed_tail:
                break
            data = stream.unconsumed_tail
    except zlib.error as error:
        return reason(error)
    return None if stream.eof else "its data end early"

"""A TIFF's directories: what each image in the file, overviews and masks too, declares."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

SIGNATURES = b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"

MOST = 256
"""Images in a file. Pages, overviews and masks together are a few."""

_MOST_TAGS = 4096
_SUBFILE, _PHOTOMETRIC = 254, 262
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _ROWS = 256, 257, 258, 259, 277, 278
_PLANAR, _TILE_WIDTH, _TILE_HEIGHT = 284, 322, 323
_WANTED = {
    _SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _ROWS, _PLANAR, _TILE_WIDTH,
    _TILE_HEIGHT, _PHOTOMETRIC,
}  # fmt: skip
_MASK = 4
"""The bit of a subfile's kind that says so."""
_OTHER_COLOURS = {
    0: "MINISWHITE", 4: "MASK", 5: "SEPARATED", 8: "CIELAB", 9: "ICCLAB", 10: "ITULAB",
    32844: "LOGL", 32845: "LOGLUV",
}  # fmt: skip
"""Than red, green and blue, or none named, by the photometric interpretation."""
_OFFSETS, _LONG8, _IFD8 = (273, 324), 16, 18
_MOST_OFFSETS = 1 << 27
_CODES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
          16: 8, 17: 8, 18: 8}  # fmt: skip


class DirectoryError(ValueError):
    """What is wrong with the file, to follow "a TIFF"."""


@dataclass(frozen=True)
class Directory:
    """`block`: rows, columns and bytes of the pixels that are unpacked together, at most.

    colours: what it declares, None where they may be red, green and blue.
    compressed: without that GDAL reads rows, whatever the blocks are.
    """

    height: int
    width: int
    bits: int
    block: tuple[int, int, int]
    compressed: bool
    is_mask: bool
    colours: str | None


def directories(file: BinaryIO) -> Iterator[Directory]:
    """In the file's order (TIFF 6.0, section 2; BigTIFF).

    Raises DirectoryError where one lies outside of the file, or there are more than `MOST`.
    """
    begin = file.read(4)
    order, big = "<" if begin[:2] == b"II" else ">", b"+" in begin
    offset, count, entry, inline = ("Q", "Q", 20, 8) if big else ("I", "H", 12, 4)
    end = file.seek(0, 2)

    def number_at(code: str, at: int) -> int:
        size = struct.calcsize(order + code)
        if at + size > end:
            raise DirectoryError(
                f"that is truncated or corrupted: it has {end} bytes, its tags lie at byte {at}"
            )
        file.seek(at)
        return int(struct.unpack(order + code, file.read(size))[0])

    at = number_at(offset, 8 if big else 4)
    for _ in range(MOST):
        if not at:
            return
        number = number_at(count, at)
        if number > _MOST_TAGS:
            raise DirectoryError(f"that is corrupted: an image in it has {number} tags")
        first = at + struct.calcsize(order + count)
        tags = {}
        for here in range(first, first + number * entry, entry):
            tag, kind = number_at("H", here), number_at("H", here + 2)
            value, size = here + entry - inline, number_at(offset, here + 4) * _SIZES.get(kind, 1)
            if size > inline:
                value = number_at(offset, value)
                number_at("B", value)
            if tag in _OFFSETS and kind in (_LONG8, _IFD8):
                _check_offsets(file, value, size, order)
            if kind in _CODES and tag in _WANTED:
                tags[tag] = number_at(_CODES[kind], value)
        yield _directory(tags)
        at = number_at(offset, first + number * entry)
    raise DirectoryError(f"with over {MOST} images in it")


def _check_offsets(file: BinaryIO, at: int, size: int, order: str) -> None:
    """Of blocks. One that no file reaches makes libtiff write to the terminal by itself."""
    if size > _MOST_OFFSETS:
        raise DirectoryError(f"that is corrupted: it lists {size // 8} blocks")
    file.seek(at)
    content = file.read(size)
    highest = (7, 6, 5) if order == "<" else (0, 1, 2)  # bytes: one of them says 1 TiB or more
    if any(any(content[byte::8]) for byte in highest):
        raise DirectoryError("that is corrupted: blocks of it lie where no file reaches")


def _directory(tags: dict[int, int]) -> Directory:
    height, width = tags.get(_HEIGHT, 0), tags.get(_WIDTH, 0)
    rows = tags.get(_TILE_HEIGHT, min(tags.get(_ROWS, height), height))
    columns = tags.get(_TILE_WIDTH, width)
    bits = tags.get(_BITS, 1)
    samples = tags.get(_SAMPLES, 1) if tags.get(_PLANAR, 1) == 1 else 1
    size = rows * ((columns * samples * bits + 7) // 8)
    compressed = tags.get(_COMPRESSION, 1) != 1 or _TILE_WIDTH in tags
    is_mask = bool(tags.get(_SUBFILE, 0) & _MASK)
    colours = _OTHER_COLOURS.get(tags.get(_PHOTOMETRIC, -1))
    return Directory(height, width, bits, (rows, columns, size), compressed, is_mask, colours)

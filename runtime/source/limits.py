"""How large an image may be, by what its file declares, before a byte of it is decoded.

A few bytes of a header ask for any amount of memory.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from runtime.errors import DataError, ImageError
from runtime.options import RASTER_EXTRA
from runtime.source import directories

MOST_PIXELS = 8192 * 8192
"""Of a picture, which is decoded whole: 200 MB of RGB. A larger scene is a GeoTIFF, which is read
in windows."""

MOST_DEEP_PIXELS = MOST_PIXELS // 4
"""Of one with more than 8 bits: scaling them takes four bytes a value, more than once."""

MOST_BYTES = 1 << 29
"""Of a picture's file. More than the largest picture takes uncompressed, with 16 bits."""

MOST_SCANS = 100
"""Of a JPEG. Each goes over the whole picture again; progressive ones have about ten."""

MOST_LABEL_BYTES = 1 << 25
"""Of an xBD label, which takes ten times that as values. The largest have 3 MB."""

_EXPECTED = "expected a PNG, JPEG or TIFF file"
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8"
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN = b"\xff\xda"
_MOST_SEGMENTS = 10_000


def picture(path: Path) -> bytes:
    """The content of a picture's file; ImageError for what cannot be one, or is too large."""
    check_file(path)
    size = path.stat().st_size
    if not size:
        raise ImageError(f"{path}: empty; {_EXPECTED}; copy it again")
    if size > MOST_BYTES:
        raise ImageError(f"{path}: {size} bytes, {_too_large(path, f'{MOST_BYTES} bytes')}")
    with path.open("rb") as file:
        try:
            height, width, bits = declared(file) or (0, 0, 8)
        except ValueError as error:
            raise ImageError(f"{path}: {error}; write it again") from error
        most = MOST_PIXELS if bits <= 8 else MOST_DEEP_PIXELS
        if height * width > most:
            raise ImageError(
                f"{path}: {height}x{width} pixels (height x width) of {bits} bits, "
                f"{_too_large(path, f'{most} pixels')}"
            )
        file.seek(0)
        content = file.read()
    if content.startswith(_JPEG) and content.count(_START_OF_SCAN) > MOST_SCANS:
        raise ImageError(
            f"{path}: a JPEG of {content.count(_START_OF_SCAN)} scans, expected at most "
            f"{MOST_SCANS}; convert it with jpegtran -revert"
        )
    return content


def check_label(path: Path) -> None:
    """Raises DataError for what cannot be a tile's label."""
    if not path.is_file():
        what = "not a file" if path.exists() else "does not exist"
        raise DataError(f"{path}: {what}; expected an xBD label")
    if path.stat().st_size > MOST_LABEL_BYTES:
        raise DataError(
            f"{path}: {path.stat().st_size} bytes; expected an xBD label, of at most "
            f"{MOST_LABEL_BYTES}"
        )


def check_file(path: Path) -> None:
    """A pipe never ends, and a device may have no end."""
    if path.is_file():
        return
    if path.is_dir():
        raise ImageError(f"{path}: a folder; {_EXPECTED}")
    if path.exists():
        raise ImageError(f"{path}: a device or a pipe; {_EXPECTED}")
    raise ImageError(f"{path}: no such image; {_EXPECTED}")


def declared(file: BinaryIO) -> tuple[int, int, int] | None:
    """Height, width and bits by a PNG's, JPEG's or TIFF's header; None where it has none.

    Raises ValueError for a header without end.
    """
    begin = file.read(25)
    try:
        if begin.startswith(_PNG):
            width, height, bits = struct.unpack_from(">IIB", begin, 16)
            return height, width, bits
        if begin.startswith(_JPEG):
            return _of_jpeg(file)
        if begin.startswith(directories.SIGNATURES):
            file.seek(0)
            found = next(directories.directories(file), None)
            return (found.height, found.width, found.bits) if found else None
    except (struct.error, directories.DirectoryError):  # it ends early
        return None
    return None


def _of_jpeg(file: BinaryIO) -> tuple[int, int, int] | None:
    """Of the frame with most pixels (ITU-T T.81, annex B): a file may have several."""
    found: tuple[int, int, int] | None = None
    position = 2
    for _ in range(_MOST_SEGMENTS):
        file.seek(position)
        begin = file.read(9)
        if len(begin) < 4 or begin[0] != 0xFF or begin[1] == _START_OF_SCAN[1]:
            return found
        if begin[1] == 0xFF or begin[1] in _WITHOUT_LENGTH:
            position += 1 if begin[1] == 0xFF else 2
            continue
        if begin[1] in _FRAMES and len(begin) == 9:
            bits, height, width = struct.unpack_from(">BHH", begin, 4)
            size = height, width, bits
            found = max(found or size, size, key=lambda each: each[0] * each[1])
        position += 2 + struct.unpack_from(">H", begin, 2)[0]
    raise ValueError(f"a JPEG with over {_MOST_SEGMENTS} segments before its pixels")


def _too_large(path: Path, most: str) -> str:
    return (
        f"and a picture may have {most}, because it is decoded whole; larger scenes are read in "
        f"windows from a tiled GeoTIFF: gdal_translate -co TILED=YES {path} {path.stem}.tif, which "
        f"needs rasterio: {RASTER_EXTRA}"
    )

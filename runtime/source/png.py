"""A PNG's structure, checked before a decoder sees it.

OpenCV fills the rows that a truncated PNG lacks with black and says nothing, and
black ground is mapped as "no building". So length, checksums and the compressed
stream are verified here (PNG specification, sections 5 and 11.2).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_PIECE = 1 << 20
_MOST_CHUNKS = 1 << 18

_COLOUR_TYPES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}


class PngError(ValueError):
    """What is wrong with the file, to follow "is a PNG"."""


@dataclass(frozen=True)
class Header:
    width: int
    height: int
    bits: int
    colours: str
    """grey, RGB, palette, grey with alpha or RGBA."""
    transparent: tuple[int, ...] | None = None
    """Of an RGB image, the one colour that stands for no data (tRNS)."""


def check(content: bytes) -> Header:
    """The header of a complete PNG; PngError for one that is cut off or corrupted."""
    header: Header | None = None
    interlaced = False
    data: list[memoryview] = []
    whole = memoryview(content)
    position = len(SIGNATURE)
    while True:
        if position + 12 > len(content):
            raise PngError(f"that is truncated: it ends after {len(content)} bytes without IEND")
        length, kind = struct.unpack_from(">I4s", content, position)
        end = position + 12 + length
        if end > len(content):
            raise PngError(
                f"that is truncated: its {_name(kind)} chunk reaches to byte {end}, "
                f"the file has {len(content)}"
            )
        body = whole[position + 8 : end - 4]
        (checksum,) = struct.unpack_from(">I", content, end - 4)
        if zlib.crc32(body, zlib.crc32(kind)) != checksum:
            raise PngError(
                f"that is corrupted: the checksum of its {_name(kind)} chunk "
                f"at byte {position} is wrong"
            )
        if header is None:
            header, interlaced = _header(kind, body)
        elif kind == b"IDAT":
            data.append(body)
            if len(data) > _MOST_CHUNKS:
                raise PngError(f"in over {_MOST_CHUNKS} pieces")
        elif kind == b"tRNS" and header.colours == "RGB" and length == 6:
            header = replace(header, transparent=struct.unpack(">HHH", body))
        elif kind == b"IEND":
            break
        position = end
    _check_stream(data, header, interlaced)
    return header


def _header(kind: bytes, body: memoryview) -> tuple[Header, bool]:
    """IHDR, and whether the image is interlaced."""
    if kind != b"IHDR" or len(body) != 13:
        raise PngError("that is corrupted: it does not begin with IHDR")
    width, height, bits, colour_type, _, _, interlace = struct.unpack(">IIBBBBB", body)
    if colour_type not in _COLOUR_TYPES or width == 0 or height == 0:
        raise PngError("that is corrupted: its IHDR is invalid")
    return Header(width, height, bits, _COLOUR_TYPES[colour_type]), interlace != 0


def _check_stream(data: list[memoryview], header: Header, interlaced: bool) -> None:
    """Whole chunks can still hold too little: a writer may have died between two."""
    channels = {"grey": 1, "RGB": 3, "palette": 1, "grey with alpha": 2, "RGBA": 4}
    row = 1 + (header.width * header.bits * channels[header.colours] + 7) // 8
    expected = row * header.height
    # Interlacing adds filter bytes: fewer than one more image in all, and 7 passes of slack.
    limit = 2 * expected + 64 if interlaced else expected
    stream = zlib.decompressobj()
    found = 0
    try:
        for size in _unpacked(stream, data):
            found += size
            if found > limit:
                break
    except zlib.error as error:
        raise PngError(f"that is corrupted: its pixel data cannot be unpacked ({error})") from error
    complete = found >= expected if interlaced else found == expected
    if not stream.eof or not complete:
        raise PngError(
            f"that is truncated or corrupted: its pixel data unpacks to {found} bytes, "
            f"{header.height} rows need {expected}"
        )


def _unpacked(stream: Any, data: list[memoryview]) -> Iterator[int]:
    """Sizes of what the chunks unpack to, piece by piece: all of it may be as large as memory."""
    for chunk in data:
        for start in range(0, len(chunk), _PIECE):  # what zlib leaves over, it copies
            packed: Any = chunk[start : start + _PIECE]
            while packed and not stream.eof:
                yield len(stream.decompress(packed, _PIECE))
                packed = stream.unconsumed_tail
    while not stream.eof and (rest := stream.decompress(b"", _PIECE)):
        yield len(rest)


def _name(kind: bytes) -> str:
    return kind.decode("ascii") if kind.isalpha() else "unnamed"

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
_BITS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_ADAM7 = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # fmt: skip
"""First column, first row, and steps of the passes."""


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
            if length:
                raise PngError(f"that is corrupted: its IEND holds {length} bytes, expected none")
            break
        elif kind == b"IHDR":
            raise PngError(f"that is corrupted: a second IHDR lies at byte {position}")
        elif kind[:1].isupper() and kind != b"PLTE":
            raise PngError(f"of an unknown kind: no decoder here knows its {_name(kind)} chunk")
        position = end
    _check_stream(data, header, interlaced)
    return header


def essential(content: bytes) -> bytes:
    """A complete RGB PNG with its pixels alone.

    Profiles, texts, further frames and what else may be packed in it are nothing for a decoder:
    libpng tells of them on the terminal.
    """
    parts, position = [content[: len(SIGNATURE)]], len(SIGNATURE)
    while position < len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        end = position + 12 + length
        if kind in (b"IHDR", b"IDAT", b"IEND"):
            parts.append(content[position:end])
        position = len(content) if kind == b"IEND" else end
    return b"".join(parts)


def _header(kind: bytes, body: memoryview) -> tuple[Header, bool]:
    """IHDR, and whether the image is interlaced."""
    if kind != b"IHDR" or len(body) != 13:
        raise PngError("that is corrupted: it does not begin with IHDR")
    width, height, bits, colour_type, packing, filtering, interlace = struct.unpack(
        ">IIBBBBB", body
    )
    known = bits in _BITS.get(colour_type, ()) and not packing and not filtering and interlace < 2
    if not known or width == 0 or height == 0:
        raise PngError("that is corrupted: its IHDR is invalid")
    return Header(width, height, bits, _COLOUR_TYPES[colour_type]), interlace != 0


def _check_stream(data: list[memoryview], header: Header, interlaced: bool) -> None:
    """Whole chunks can still hold too little: a writer may have died between two."""
    passes = list(_passes(header, interlaced))
    expected = sum(rows * size for rows, size in passes)
    stream = zlib.decompressobj()
    found = 0
    try:
        for block in _unpacked(stream, data):
            _check_filters(block, found, passes)
            found += len(block)
            if found > expected:
                break
    except zlib.error as error:
        raise PngError(f"that is corrupted: its pixel data cannot be unpacked ({error})") from error
    if not stream.eof or found != expected:
        raise PngError(
            f"that is truncated or corrupted: its pixel data unpacks to {found} bytes, "
            f"{header.height} rows need {expected}"
        )


def _passes(header: Header, interlaced: bool) -> Iterator[tuple[int, int]]:
    """Rows and bytes of a row, in the order in which they are stored (section 8)."""
    channels = {"grey": 1, "RGB": 3, "palette": 1, "grey with alpha": 2, "RGBA": 4}
    for x, y, across, down in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        width, height = -((x - header.width) // across), -((y - header.height) // down)
        if width > 0 and height > 0:
            yield height, 1 + (width * header.bits * channels[header.colours] + 7) // 8


def _check_filters(block: bytes, at: int, passes: list[tuple[int, int]]) -> None:
    """A row begins with the number of its filter, 0 to 4. `at`: of the block in all bytes."""
    begin = 0
    for rows, size in passes:
        end = begin + rows * size
        first = begin + max(0, -((begin - at) // size)) * size
        if first < min(end, at + len(block)) and max(block[first - at : end - at : size]) > 4:
            raise PngError("that is corrupted: a row of it has an unknown filter")
        begin = end


def _unpacked(stream: Any, data: list[memoryview]) -> Iterator[bytes]:
    """What the chunks unpack to, piece by piece: all of it may be as large as memory."""
    for chunk in data:
        for start in range(0, len(chunk), _PIECE):  # what zlib leaves over, it copies
            packed: Any = chunk[start : start + _PIECE]
            while packed and not stream.eof:
                yield stream.decompress(packed, _PIECE)
                packed = stream.unconsumed_tail
    while not stream.eof and (rest := stream.decompress(b"", _PIECE)):
        yield rest


def _name(kind: bytes) -> str:
    return kind.decode("ascii") if kind.isalpha() else "unnamed"

"""A JPEG's structure, checked before a decoder sees it.

Decoders fill what a truncated JPEG lacks with grey. The markers are walked to the
frame header (ITU-T T.81, annex B), and the file must end with the end marker.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

SIGNATURE = b"\xff\xd8\xff"

_END = b"\xff\xd9"
_SCAN = 0xDA
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}
# C4, C8 and CC lie in the range and are tables.
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class JpegError(ValueError):
    """What is wrong with the file, to follow "is a JPEG"."""


@dataclass(frozen=True)
class Header:
    width: int
    height: int
    bits: int
    components: int
    """1 grey, 3 colour, 4 CMYK."""


def check(content: bytes) -> Header:
    """The frame header of a complete JPEG; JpegError for one that is cut off."""
    header: Header | None = None
    position = 2
    while position + 4 <= len(content):
        if content[position] != 0xFF:
            raise JpegError(f"that is corrupted: no marker at byte {position}")
        marker = content[position + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            position += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", content, position + 2)
        body = content[position + 4 : position + 2 + length]
        if marker in _FRAMES and len(body) >= 6:
            bits, height, width, components = struct.unpack_from(">BHHB", body)
            header = Header(width, height, bits, components)
        if marker == _SCAN:
            break
        position += 2 + length
    else:
        raise JpegError(f"that is truncated: it ends after {len(content)} bytes, before its pixels")
    if header is None:
        raise JpegError("that is corrupted: it has no frame header")
    # Cameras and file systems pad with zeros.
    if not content.rstrip(b"\0").endswith(_END):
        raise JpegError(
            f"that is truncated: it ends after {len(content)} bytes without the end marker"
        )
    return header

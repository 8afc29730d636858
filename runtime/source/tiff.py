"""A TIFF's structure, for where GDAL is not: checked before OpenCV decodes it whole.

OpenCV turns the image by its orientation tag, reads blocks that were never written as black, and
fills what it cannot unpack. So the first image's tags are read here (TIFF 6.0, section 2; BigTIFF),
each block is unpacked once, and what cannot be checked is refused.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_ORIENTATION, _SAMPLES, _ROWS, _PLANAR = 274, 277, 278, 284
_FORMAT = 339
_STRIPS, _TILES, _TILE_WIDTH, _TILE_HEIGHT, _NODATA = (273, 279), (324, 325), 322, 323, 42113
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4, 13: 4, 16: 8, 17: 8, 18: 8}
_CODES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_MOST = 1 << 24
"""Values of a tag, at most."""

_COLOURS = {
    0: "grey", 1: "grey", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "Lab",
    9: "Lab", 10: "Lab",
}  # fmt: skip
_NONE, _LZW, _DEFLATE = (1,), (5,), (8, 32946)
_MASK = 4
_READ = {(1, 8), (1, 16), (3, 32), (3, 64)}
"""Unsigned and floating-point numbers of so many bits."""


class TiffError(ValueError):
    """What is wrong with the file, to follow "is a TIFF"."""


class NeedsGdalError(ValueError):
    """What only GDAL reads as it should be, to follow "is a TIFF"."""


@dataclass(frozen=True)
class Header:
    width: int
    height: int
    bits: int
    samples: int
    colours: str
    """grey, RGB, palette, mask, CMYK, YCbCr or Lab."""
    nodata: float | None
    orientation: int | None
    """Where its value lies in the file; None: the image lies as it is stored."""


@dataclass(frozen=True)
class _Format:
    """Byte order, and what differs in a BigTIFF."""

    order: str
    big: bool

    def numbers(self, code: str, content: bytes, at: int, count: int = 1) -> tuple[int, ...]:
        try:
            return struct.unpack_from(f"{self.order}{count}{code}", content, at)
        except struct.error as error:
            raise TiffError(
                f"that is truncated or corrupted: it has {len(content)} bytes, its tags lie at "
                f"byte {at}"
            ) from error


_Tags = dict[int, tuple[int, int, int]]
"""Type, number of values and where they lie, by tag."""


def check(content: bytes) -> Header:
    """The header of a complete TIFF, TiffError for one that is not, NeedsGdalError."""
    form = _Format("<" if content[:2] == b"II" else ">", content[2:4] in (b"+\0", b"\0+"))
    (at,) = form.numbers("Q", content, 8) if form.big else form.numbers("I", content, 4)
    tags, following = _directory(content, form, at)
    header = _header(content, form, tags)
    if header.colours != "RGB" or header.samples != 3:
        return header  # refused for that
    _check_masks(content, form, following)
    planar = _values(content, form, tags, _PLANAR)[:1] == (2,)
    kind = (_values(content, form, tags, _FORMAT) or (1,))[0], header.bits
    if kind not in _READ or (planar and header.bits != 8):
        raise NeedsGdalError(f"of {header.bits} bits that OpenCV does not read as they are")
    _check_blocks(content, form, tags, header)
    return header


def upright(content: bytes, header: Header) -> bytes:
    """The file with the orientation that it is stored in."""
    if header.orientation is None:
        return content
    turned = bytearray(content)
    struct.pack_into("<H" if content[:2] == b"II" else ">H", turned, header.orientation, 1)
    return bytes(turned)


def _directory(content: bytes, form: _Format, at: int) -> tuple[_Tags, int]:
    """The tags at `at`, and where the next image's are."""
    count_code, entry, inline = ("Q", 20, 8) if form.big else ("H", 12, 4)
    (count,) = form.numbers(count_code, content, at)
    at += struct.calcsize(f"={count_code}")
    if count > 4096:
        raise TiffError(f"that is corrupted: it has {count} tags")
    tags: _Tags = {}
    offset = "Q" if form.big else "I"
    for number in range(count):
        here = at + number * entry
        tag, kind = form.numbers("H", content, here, 2)
        (length,) = form.numbers(offset, content, here + 4)
        value = here + entry - inline
        if _SIZES.get(kind, 8) * length > inline:
            (value,) = form.numbers(offset, content, value)
        tags[tag] = kind, length, value
    (following,) = form.numbers(offset, content, at + count * entry)
    return tags, following


def _values(content: bytes, form: _Format, tags: _Tags, tag: int) -> tuple[int, ...]:
    kind, length, at = tags.get(tag, (0, 0, 0))
    if kind not in _CODES or length > _MOST:
        return ()
    return form.numbers(_CODES[kind], content, at, length)


def _header(content: bytes, form: _Format, tags: _Tags) -> Header:
    def one(tag: int, otherwise: int) -> int:
        found = _values(content, form, tags, tag)
        return found[0] if found else otherwise

    width, height = one(_WIDTH, 0), one(_HEIGHT, 0)
    if not width or not height:
        raise TiffError("that is corrupted: it has no width or height")
    nodata = None
    if _NODATA in tags:
        _, length, at = tags[_NODATA]
        try:
            nodata = float(content[at : at + length].rstrip(b"\0 "))
        except ValueError:
            raise NeedsGdalError("whose nodata is no number") from None
    bits = set(_values(content, form, tags, _BITS)) or {1}
    turned = one(_ORIENTATION, 1) != 1
    return Header(
        width,
        height,
        max(bits),
        one(_SAMPLES, 1),
        _COLOURS.get(one(_PHOTOMETRIC, 1), "unknown"),
        nodata,
        tags[_ORIENTATION][2] if turned else None,
    )


def _check_masks(content: bytes, form: _Format, at: int) -> None:
    """A mask is an image of its own, behind the first."""
    seen = set()
    while at and at not in seen:
        seen.add(at)
        tags, at = _directory(content, form, at)
        if any(kind & _MASK for kind in _values(content, form, tags, _SUBFILE)):
            raise NeedsGdalError("with a mask in it")


def _check_blocks(content: bytes, form: _Format, tags: _Tags, header: Header) -> None:
    which = _TILES if _TILES[0] in tags else _STRIPS
    offsets, counts = (_values(content, form, tags, tag) for tag in which)
    (method,) = _values(content, form, tags, _COMPRESSION)[:1] or (1,)
    sizes = _sizes(content, form, tags, header, min(len(offsets), len(counts)))
    if method not in (*_NONE, *_LZW, *_DEFLATE):
        raise NeedsGdalError(f"of compression {method}")
    for number, (offset, count, size) in enumerate(zip(offsets, counts, sizes, strict=False)):
        if not offset or not count:
            raise NeedsGdalError(
                f"whose block {number} of {len(sizes)} was never written, so that it is no data"
            )
        if offset + count > len(content):
            raise TiffError(
                f"that is truncated: its block {number} reaches to byte {offset + count}, the "
                f"file has {len(content)}"
            )
        data = content[offset : offset + count]
        found = len(data) if method in _NONE else _unpacked(data, method, size)
        if found < size:
            raise TiffError(
                f"that is truncated or corrupted: its block {number} unpacks to {found} bytes, "
                f"{size} are needed"
            )
        # The last may be as long as the others; and uncompressed ones are padded by some writers.
        if found > max(size, sizes[0]) + (3 if method in _NONE else 0):
            raise TiffError(
                f"that is corrupted: its block {number} holds more than the {size} bytes that "
                "its width and rows ask for"
            )


def _sizes(content: bytes, form: _Format, tags: _Tags, header: Header, listed: int) -> list[int]:
    """Bytes of each block, unpacked, in their order; TiffError where fewer are listed."""
    planar = _values(content, form, tags, _PLANAR)[:1] == (2,)
    planes, samples = (header.samples, 1) if planar else (1, header.samples)
    wide, high, across = header.width, 0, 1
    if _TILES[0] in tags:
        wide, high = (
            (_values(content, form, tags, tag) or (0,))[0] for tag in (_TILE_WIDTH, _TILE_HEIGHT)
        )
        across = -(-header.width // max(1, wide))
    else:
        high = min((_values(content, form, tags, _ROWS) or (header.height,))[0], header.height)
    if not wide or not high:
        raise TiffError("that is corrupted: its blocks have no size")
    down = -(-header.height // high)
    if planes * across * down > listed:
        raise TiffError(f"that is corrupted: it lists {listed} blocks of {planes * across * down}")
    row = (wide * samples * header.bits + 7) // 8
    last = high if _TILES[0] in tags else header.height - (down - 1) * high
    return ([row * high] * (across * (down - 1)) + [row * last] * across) * planes


def _unpacked(data: bytes, method: int, size: int) -> int:
    """Bytes that it unpacks to, not many more than `size`; TiffError for what cannot be."""
    if method in _LZW:
        return _lzw(data, size)
    stream, found = zlib.decompressobj(), 0
    try:
        while not stream.eof and data and found <= size:
            block = stream.decompress(data, 1 << 22)
            if not block and not stream.unconsumed_tail:
                break
            found += len(block)
            data = stream.unconsumed_tail
    except zlib.error as error:
        raise TiffError(f"that is corrupted: its pixels cannot be unpacked ({error})") from error
    return found if stream.eof else min(found, size - 1)


_CLEAR, _END = 256, 257
_LZW_BITS = np.repeat([9, 10, 11, 12], [254, 512, 1024, 2050])
"""Of the codes behind a clear code: the table grows by one with each but the first."""


def _lzw(data: bytes, size: int) -> int:
    """Bytes of LZW data (section 13), from the lengths of what its codes stand for."""
    if data[:1] == b"\0" and data[1:2] and data[1] & 1:
        raise NeedsGdalError("of LZW in its old form")
    padded = np.frombuffer(data + bytes(4), np.uint8).astype(np.int64)
    begins = np.cumsum(_LZW_BITS) - _LZW_BITS
    position = found = 0
    while found < size:
        whole = position + begins + _LZW_BITS <= 8 * len(data)
        at, bits = position + begins[whole], _LZW_BITS[whole]
        three = padded[at >> 3] << 16 | padded[(at >> 3) + 1] << 8 | padded[(at >> 3) + 2]
        codes = three >> (24 - (at & 7) - bits) & ((1 << bits) - 1)
        ends = np.flatnonzero((codes == _CLEAR) | (codes == _END))
        stop = ends[0] if ends.size else len(codes)
        found += _length(codes[:stop].tolist(), size - found)
        if not ends.size or codes[stop] == _END:
            break
        position = int(at[stop] + bits[stop])
    return found if found <= size else size - 1


def _length(codes: list[int], size: int) -> int:
    """Bytes that codes between two clear codes stand for; it may stop where they reach `size`."""
    lengths = [1] * 256 + [0, 0]
    last = found = 0
    for code in codes:
        if last:
            lengths.append(last + 1)
        if code >= len(lengths):
            raise TiffError("that is corrupted: its LZW data have an impossible code")
        last = lengths[code]
        found += last
        if found >= size:
            break
    return found

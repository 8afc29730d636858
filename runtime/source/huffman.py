"""JPEG data against their own arithmetic: do they hold as many blocks as the image has?

Zeros over a part of the data decode without a complaint to flat or speckled colours. Huffman codes
have no checksum, but what is misread takes another number of bits, and the data end early or late.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

RUN = 32
"""Zero bytes in a row, in compressed data, that are looked into."""

_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_SEQUENTIAL, _PROGRESSIVE = {0xC0, 0xC1}, {0xC2}
_TABLES, _RESTART_INTERVAL, _SCAN = 0xC4, 0xDD, 0xDA
_ALONE = {0x01, *range(0xD0, 0xDA)}


@dataclass
class _State:
    """What the segments until a scan say.

    codes: [65536] by the next 16 bits: bits taken, and 256 times the coefficients filled; by class
        and number of the table. zeros: the symbol of the code that is all zeros.
    """

    kind: int = 0
    size: tuple[int, int] = (0, 0)
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)
    restart: int = 0
    codes: dict[int, NDArray[np.int32]] = field(default_factory=dict)
    zeros: dict[int, int] = field(default_factory=dict)


def erased(content: bytes, tables: bytes = b"") -> str | None:
    """What shows that a part of a JPEG's data was lost to zeros; None: nothing does.

    tables: of an abbreviated stream in a TIFF, a JPEG without an image.
    """
    if bytes(RUN) not in content:
        return None
    state = _State()
    try:
        for each in (tables, content):
            if wrong := _scans(each, state):
                return wrong
    except (struct.error, IndexError, KeyError):
        return "its segments do not fit together"
    return None


def _scans(content: bytes, state: _State) -> str | None:
    position = 2
    while position + 4 <= len(content):
        marker = content[position + 1]
        if content[position] != 0xFF or marker in _ALONE or marker == 0xFF:
            position += 1 if marker == 0xFF or content[position] != 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", content, position + 2)
        body = content[position + 4 : position + 2 + length]
        position += 2 + length
        if marker != _SCAN:
            _note(marker, body, state)
            continue
        after = _MARKER.search(content, position)
        end = after.start() if after else len(content)
        where = content.find(bytes(RUN), position, end)
        if where >= 0 and (wrong := _scan(body, content[position:end], state)):
            return f"{RUN} zero bytes at byte {where} of it, and {wrong}"
        position = end
    return None


def _note(marker: int, body: bytes, state: _State) -> None:
    if marker == _TABLES:
        _read_tables(body, state)
    elif marker == _RESTART_INTERVAL:
        (state.restart,) = struct.unpack(">H", body)
    elif marker in _SEQUENTIAL | _PROGRESSIVE:
        _, height, width, count = struct.unpack_from(">BHHB", body)
        parts = [body[6 + 3 * each : 9 + 3 * each] for each in range(count)]
        state.kind, state.size = marker, (height, width)
        state.sampling = {part[0]: (part[1] >> 4, part[1] & 15) for part in parts}


def _scan(header: bytes, data: bytes, state: _State) -> str | None:
    """What is wrong with a scan in which there are zeros."""
    parts = [(header[1 + 2 * each], header[2 + 2 * each]) for each in range(header[0])]
    first = header[1 + 2 * header[0]]
    if state.kind in _PROGRESSIVE:  # a code covers all that is flat, but of averages each has one
        return "no image gives them" if first else None
    if state.kind not in _SEQUENTIAL:
        return None
    if any(state.zeros[16 + (tables & 15)] for _, tables in parts):
        return "no image gives them"  # coefficient after coefficient of -1
    if len(parts) != len(state.sampling):
        return None
    return _count(parts, data, state)


def _count(parts: list[tuple[int, int]], data: bytes, state: _State) -> str | None:
    """The blocks of an interleaved scan, or of a grey image, one by one."""
    wide = max(each[0] for each in state.sampling.values())
    high = max(each[1] for each in state.sampling.values())
    if len(parts) == 1:
        state.sampling[parts[0][0]] = wide, high = 1, 1
    if not wide or not high:
        return "its frame header gives its colours no size"
    units = -(-state.size[0] // (8 * high)) * -(-state.size[1] // (8 * wide))
    blocks: list[tuple[int, int]] = []
    for name, tables in parts:
        horizontal, vertical = state.sampling[name]
        blocks += [(tables >> 4, 16 + (tables & 15))] * (horizontal * vertical)
    for piece in _RESTART.split(data):
        count = min(units, state.restart or units)
        units -= count
        if wrong := _walk(piece.replace(b"\xff\0", b"\xff"), count, blocks, state):
            return wrong
    return "blocks are missing" if units else None


def _walk(data: bytes, units: int, blocks: list[tuple[int, int]], state: _State) -> str | None:
    padded = np.frombuffer(data + b"\xff" * 4, np.uint8).astype(np.uint32)
    three = padded[:-2] << 16 | padded[1:-1] << 8 | padded[2:]
    ahead = np.stack([three >> (8 - bit) & 0xFFFF for bit in range(8)], axis=1).ravel()
    codes = {table: state.codes[table][ahead].tolist() for pair in blocks for table in pair}
    pairs = [(codes[first], codes[others]) for first, others in blocks]
    position, bits = 0, 8 * len(data)
    for _ in range(units):
        for first, others in pairs:
            if position >= bits:
                return "the data end early"
            step = first[position]
            filled = 1
            while step and filled < 64:
                position += step & 255
                if position > bits:
                    return "the data end early"
                step = others[position]
                filled += step >> 8
            if not step:
                return "a code has no meaning"
            position += step & 255
    if position > bits:
        return "the data end early"
    return "the data go on behind the last block" if bits - position >= 8 else None


def _read_tables(body: bytes, state: _State) -> None:
    while body:
        table, counts = body[0], body[1:17]
        symbols = body[17 : 17 + sum(counts)]
        body = body[17 + sum(counts) :]
        codes = np.zeros(1 << 16, np.int32)
        state.zeros[table], code, number = symbols[0], 0, 0
        for length, count in enumerate(counts, 1):
            for symbol in symbols[number : number + count]:
                low = code << (16 - length)
                codes[low : low + (1 << (16 - length))] = _step(table, symbol) + length
                code += 1
            number += count
            code <<= 1
        state.codes[table] = codes


def _step(table: int, symbol: int) -> int:
    """256 times the coefficients that a symbol fills, and the bits that follow it."""
    run, size = symbol >> 4, symbol & 15
    if table < 16:
        return symbol
    if size == 0:
        return (16 if run == 15 else 64) << 8
    return (run + 1) << 8 | size

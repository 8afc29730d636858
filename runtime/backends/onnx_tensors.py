"""The tensors that an ONNX model holds, wherever in it, and whether one lies in another file.

ONNX Runtime follows a reference to a file also for a model that it was given as bytes, and then
looks in the working folder: 1.16 for constants of functions, 1.32 for those of subgraphs. The
runtime has no onnx package, and so reads what it must of the protobuf messages itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TENSOR = "TensorProto"

MESSAGES: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: TENSOR, 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: TENSOR,
        6: "GraphProto",
        10: TENSOR,
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: TENSOR, 2: TENSOR},
}
"""Every way from a model to a tensor: fields, by number, that hold messages (onnx.proto3)."""

_DATA_TYPE, _FLOATS, _NAME, _RAW, _DOUBLES, _EXTERNAL_DATA, _DATA_LOCATION = 2, 4, 8, 9, 10, 13, 14
"""Fields of a TensorProto that say what it holds, and where."""

_EXTERNAL = 1
"""The data location that means another file."""

_FLOATING = {1: "<f4", 10: "<f2", 11: "<f8"}
"""NumPy's types of raw data by ONNX's numbers, of those that can be NaN."""

_VARINT, _FIXED64, _BYTES, _GROUP, _END_GROUP, _FIXED32 = range(6)

Field = tuple[int, int, int, int]
"""Number, wire type, and the value: a varint's and 0, or where bytes begin and end."""


@dataclass(frozen=True)
class OnnxTensor:
    """external: its data lie in another file. floats: what it holds, where that can be NaN.

    Empty for other types, and for the forms that no exporter writes: floating point that is
    not packed, or FP16 as whole numbers.
    """

    name: str
    external: bool
    floats: NDArray[Any]


def tensors(model: bytes) -> Iterator[OnnxTensor]:
    """Of initializers and attributes, also those of subgraphs and functions.

    Raises ValueError for bytes that are no whole ONNX model.
    """
    waiting = [("ModelProto", 0, len(model))]
    while waiting:
        kind, start, end = waiting.pop()
        if kind == TENSOR:
            yield _tensor(model, start, end)
            continue
        inside = MESSAGES[kind]
        for number, wire, value, stop in _fields(model, start, end):
            if wire == _BYTES and number in inside:
                waiting.append((inside[number], value, stop))


def _tensor(model: bytes, start: int, end: int) -> OnnxTensor:
    numbers, places, external = {_DATA_TYPE: 0, _DATA_LOCATION: 0}, {_NAME: (0, 0)}, False
    for number, wire, value, stop in _fields(model, start, end):
        external |= number == _EXTERNAL_DATA
        if wire == _VARINT:
            numbers[number] = value & 0xFFFFFFFF  # as protobuf reads its 32 bits
        elif wire == _BYTES:
            places[number] = value, stop
    floats = np.empty(0, np.float32)
    typed = {_RAW: _FLOATING.get(numbers[_DATA_TYPE]), _FLOATS: "<f4", _DOUBLES: "<f8"}
    for number, dtype in typed.items():
        first, last = places.get(number, (0, 0))
        if dtype and last > first:
            count = (last - first) // np.dtype(dtype).itemsize
            floats = np.frombuffer(model, dtype, count, first)
    first, last = places[_NAME]
    name = model[first:last].decode(errors="replace")
    return OnnxTensor(name, external or numbers[_DATA_LOCATION] == _EXTERNAL, floats)


def _fields(content: bytes, start: int, end: int) -> Iterator[Field]:
    """The fields of a message between two places; those inside groups, which ONNX has not, not."""
    depth = 0
    while start < end:
        tag, start = _varint(content, start, end)
        number, wire = tag >> 3, tag & 7
        value = stop = 0
        if wire == _VARINT:
            value, start = _varint(content, start, end)
        elif wire == _BYTES:
            length, value = _varint(content, start, end)
            stop = start = value + length
        elif wire in (_FIXED64, _FIXED32):
            start += 8 if wire == _FIXED64 else 4
        elif wire in (_GROUP, _END_GROUP):
            depth += 1 if wire == _GROUP else -1
        else:
            raise ValueError(f"no whole ONNX model: wire type {wire} at byte {start}")
        if start > end or depth < 0:
            raise ValueError(f"no whole ONNX model: a field ends after its message, at byte {end}")
        if depth == 0:
            yield number, wire, value, stop
    if depth:
        raise ValueError(f"no whole ONNX model: a group without end, at byte {end}")


def _varint(content: bytes, start: int, end: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = shift = 0
    while True:
        if start >= end or shift > 63:
            raise ValueError(f"no whole ONNX model: a number without end, at byte {start}")
        byte = content[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
        shift += 7

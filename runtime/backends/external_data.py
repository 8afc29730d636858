"""Does an ONNX model take a tensor from another file?

ONNX Runtime follows such a reference also for a model that it was given as bytes, and then
looks in the working folder: 1.16 for constants of functions, 1.32 for those of subgraphs. The
runtime has no onnx package, and so reads what it must of the protobuf messages itself.
"""

from __future__ import annotations

from collections.abc import Iterator

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

NAME, EXTERNAL_DATA, DATA_LOCATION = 8, 13, 14
EXTERNAL = 1
"""Fields of a TensorProto, and the location that means another file."""

_VARINT, _FIXED64, _BYTES, _GROUP, _END_GROUP, _FIXED32 = range(6)

Field = tuple[int, int, int, int]
"""Number, wire type, and the value: a varint's and 0, or where bytes begin and end."""


def external_tensor(model: bytes) -> str | None:
    """The name of a tensor whose data lie in another file; None where there is none.

    Raises ValueError for bytes that are no whole protobuf message.
    """
    waiting = [("ModelProto", 0, len(model))]
    while waiting:
        kind, start, end = waiting.pop()
        if kind == TENSOR:
            name, external = "", False
            for number, wire, value, stop in _fields(model, start, end):
                if (number, wire) == (NAME, _BYTES):
                    name = model[value:stop].decode(errors="replace")
                elif number == EXTERNAL_DATA or (number, wire) == (DATA_LOCATION, _VARINT):
                    # A protobuf enum keeps the lowest 32 bits of what is written.
                    external |= number == EXTERNAL_DATA or value & 0xFFFFFFFF == EXTERNAL
            if external:
                return name
            continue
        inside = MESSAGES[kind]
        for number, wire, value, stop in _fields(model, start, end):
            if wire == _BYTES and number in inside:
                waiting.append((inside[number], value, stop))
    return None


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

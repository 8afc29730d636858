"""The layer information of TensorRT-RTX (its VERBOSE build log) as a plan.

With `ProfilingVerbosity.DETAILED` the builder prints one line a kernel:

    Name: N, LayerType: T, Inputs: [ {...}], Constants: [ {...}], Outputs: [ {...}],
    TacticName: ..., StreamId: 0, Metadata: [ONNX Layer: a][ONNX Layer: b]
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from export.plan.multiply import convolution_flops, matrix_flops, multiplies_in
from export.plan.record import Kernel, Plan, Tensor
from runtime.errors import ExportError

DTYPES = {
    "Float": "fp32",
    "Half": "fp16",
    "BFloat16": "bf16",
    "FP8": "fp8",
    "Int8": "int8",
    "UInt8": "uint8",
    "Int32": "int32",
    "Int64": "int64",
    "Bool": "bool",
}
"""TensorRT's words for datatypes, and a plan's."""

NO_KERNELS = frozenset({"signal", "wait", "shape_call"})
"""Layer types that order streams or compute shapes on the host; nothing runs on the device."""

Operands = tuple[tuple[Tensor, ...], tuple[Tensor, ...], tuple[Tensor, ...]]
"""Inputs, constants, outputs."""

_LAYER = re.compile(
    r"Name: (?P<name>.*?), LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*?)\], "
    r"Constants: \[(?P<constants>.*?)\], Outputs: \[(?P<outputs>.*?)\], TacticName: "
    r".*?, StreamId: \d+.*?, Metadata:(?P<metadata>.*)$"
)
_TENSOR = re.compile(
    r"\{ Name: (?P<name>.*?), Dimensions: \[(?P<shape>[-\d,]*)\],.*?Datatype: (?P<dtype>\w+)"
)
_NODE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_MEMORY = re.compile(r"Total (Activation|Weights) Memory: (\d+) bytes")


@dataclass(frozen=True)
class Compiled:
    """Who compiled, and for what: "SM86". `batch` stands for a dimension that is dynamic."""

    compiler: str
    version: str
    target: str
    batch: int = 1


def from_log(messages: Iterable[str], by: Compiled) -> Plan:
    """The plan in the messages of a VERBOSE log, one or many lines each.

    A dynamic dimension is printed as -1. It is taken for the batch, `by.batch` pairs.

    Raises:
        ExportError: a layer in a form that is not known, or no layer at all.
    """
    kernels = []
    memory: dict[str, int] = {}
    for message in messages:
        if "LayerType: " not in message and " Memory: " not in message:
            continue
        for line in message.splitlines():
            if found := _MEMORY.search(line):
                memory[found[1]] = int(found[2])
            if "LayerType: " in line and (kernel := _kernel(line, by.batch)):
                kernels.append(kernel)
    if not kernels:
        raise ExportError(
            f"{by.compiler} {by.version}: no layer information in its log, so nothing is known "
            "of what it compiled; this toolkit reads the log of tensorrt-rtx 1.2 to 1.7"
        )
    return Plan(
        by.compiler,
        by.version,
        by.target,
        tuple(kernels),
        memory.get("Activation"),
        memory.get("Weights"),
    )


def _kernel(line: str, batch: int) -> Kernel | None:
    found = _LAYER.search(line)
    if found is None:
        raise ExportError(f"layer information in an unknown form: {line.strip()[:160]}")
    name, kind, metadata = found["name"], found["kind"], found["metadata"]
    if kind in NO_KERNELS:
        return None
    inputs, constants, outputs = (
        _tensors(found[part], batch) for part in ("inputs", "constants", "outputs")
    )
    flops = _flops(name, kind, metadata, constants, outputs)
    return compiled_kernel(name, kind, (inputs, constants, outputs), metadata, flops)


def compiled_kernel(
    name: str, kind: str, operands: Operands, metadata: str, flops: int | None
) -> Kernel:
    """A kernel that was compiled and not timed; `metadata` names its nodes, [ONNX Layer: a]."""
    nodes = tuple(dict.fromkeys(_NODE.findall(metadata)))
    precision = multiplies_in(*operands, flops)
    return Kernel(name, kind, *operands, nodes, precision, flops, seconds=None, module=None)


def _flops(
    name: str,
    kind: str,
    metadata: str,
    constants: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...],
) -> int | None:
    operations = name.rpartition("_myl")[0] if name.startswith("__myl_") else ""
    if kind == "correlation" or "Corr" in operations:
        return convolution_flops(constants, outputs)
    if "Fc" in operations or "__gemm_from_conv" in metadata:
        return matrix_flops(constants, outputs)
    return None


def _tensors(text: str, batch: int) -> tuple[Tensor, ...]:
    if text.count("{ Name: ") != len(found := list(_TENSOR.finditer(text))):
        raise ExportError(f"a tensor of the layer information in an unknown form: {text[:160]}")
    return tuple(
        Tensor(match["name"], _shape(match["shape"], batch), _dtype(match["dtype"]))
        for match in found
    )


def _shape(text: str, batch: int) -> tuple[int, ...]:
    sizes = (int(size) for size in text.split(",") if size)
    return tuple(batch if size < 0 else size for size in sizes)


def _dtype(word: str) -> str:
    if word not in DTYPES:
        raise ExportError(
            f"the layer information has datatype {word}, known are {', '.join(DTYPES)}"
        )
    return DTYPES[word]

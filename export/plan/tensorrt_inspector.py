"""The layer information of TensorRT proper (its engine inspector's JSON) as a plan.

Written from NVIDIA's documentation and published examples of TensorRT 8.5 to 10: it never
ran here, where TensorRT proper cannot be installed. Both forms of a datatype are read,
"Format/Datatype": "Row major linear FP16 format" and "Datatype": "Half".
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from export.plan.multiply import convolution_flops, matrix_flops
from export.plan.record import Kernel, Plan, Tensor
from export.plan.tensorrt_layers import NO_KERNELS, Compiled, compiled_kernel
from runtime.errors import ExportError

_WORDS = (
    ("bf16", r"bf16|bfloat16"),
    ("fp16", r"fp16|half|float16"),
    ("fp8", r"fp8"),
    ("uint8", r"uint8"),
    ("int8", r"int8"),
    ("int64", r"int64"),
    ("int32", r"int32"),
    ("bool", r"bool"),
    ("fp32", r"fp32|float"),
)
"""In this order: a later word is part of an earlier one."""

_CONVOLUTION = re.compile(r"convolution|correlation", re.IGNORECASE)
_MATRIX = re.compile(r"gemm|matrix_?multiply|matmul|fully_?connected", re.IGNORECASE)


def from_inspector(text: str, by: Compiled, activation_bytes: int | None = None) -> Plan:
    """The plan in what `EngineInspector.get_engine_information(JSON)` gave.

    Raises:
        ExportError: it is not JSON, or has names only: the engine was not built with
            `ProfilingVerbosity.DETAILED`.
    """
    try:
        layers = json.loads(text)["Layers"]
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(
            f"{by.compiler} {by.version}: its layer information is not JSON with Layers"
        ) from error
    if not layers or not all(isinstance(layer, dict) for layer in layers):
        raise ExportError(
            f"{by.compiler} {by.version}: its layer information has no details; the engine must "
            "be built with ProfilingVerbosity.DETAILED"
        )
    kernels = [_kernel(layer, by.batch) for layer in layers if _type(layer) not in NO_KERNELS]
    return Plan(by.compiler, by.version, by.target, tuple(kernels), activation_bytes, None)


def _type(layer: dict[str, Any]) -> str:
    return str(layer.get("LayerType", "unknown"))


def _kernel(layer: dict[str, Any], batch: int) -> Kernel:
    kind = _type(layer)
    inputs, constants, outputs = (
        tuple(_tensor(entry, batch) for entry in layer.get(part, ()) if isinstance(entry, dict))
        for part in ("Inputs", "Constants", "Outputs")
    )
    weight = _weight(layer, outputs)
    constants = constants or weight
    metadata = str(layer.get("Metadata", ""))
    flops = None
    if "Kernel" in layer or _CONVOLUTION.search(f"{kind} {layer.get('ParameterType', '')}"):
        flops = convolution_flops(constants, outputs)
    elif _MATRIX.search(kind):
        flops = matrix_flops(constants, outputs)
    return compiled_kernel(
        str(layer.get("Name", "")), kind, (inputs, constants, outputs), metadata, flops
    )


def _tensor(entry: dict[str, Any], batch: int) -> Tensor:
    shape = tuple(batch if int(size) < 0 else int(size) for size in entry.get("Dimensions", ()))
    words = entry.get("Datatype") or entry.get("Format/Datatype") or ""
    return Tensor(str(entry.get("Name", "")), shape, _dtype(str(words)))


def _weight(layer: dict[str, Any], outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """ "Weights": {"Type", "Count"}, "Kernel" and "OutMaps" as an operand [O, I, kh, kw]."""
    weights, kernel = layer.get("Weights"), layer.get("Kernel")
    if not isinstance(weights, dict) or not isinstance(kernel, list) or not outputs:
        return ()
    out = int(layer.get("OutMaps", outputs[0].shape[1]))
    inputs = int(weights.get("Count", 0)) // (out * math.prod(kernel))
    if not inputs:
        return ()
    return (Tensor("weights", (out, inputs, *kernel), _dtype(str(weights.get("Type", "")))),)


def _dtype(words: str) -> str:
    for name, pattern in _WORDS:
        if re.search(pattern, words, re.IGNORECASE):
            return name
    raise ExportError(f"the layer information has an unknown datatype: {words[:80] or 'none'}")

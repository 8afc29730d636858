"""What OpenVINO made of a graph on this processor, and how long each operation takes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from export.plan.multiply import multiplies_in
from export.plan.origin import Origins, module_path
from export.plan.record import CPU, Kernel, Plan, Tensor
from runtime.backends.openvino import load_openvino, settings
from runtime.backends.openvino_core import core_of
from runtime.errors import BackendError, ExportError, reason

DTYPES = {
    "f64": "fp64",
    "f32": "fp32",
    "f16": "fp16",
    "bf16": "bf16",
    "i64": "int64",
    "i32": "int32",
    "i16": "int16",
    "i8": "int8",
    "u8": "uint8",
    "boolean": "bool",
}
"""OpenVINO's names for datatypes, and a plan's."""

NOT_EXECUTED = "not_executed"
_CONVOLUTIONS = frozenset({"Convolution", "FullyConnected", "MatMul"})
_CONSTANT = "Const"


def profile(model: Path, origins: Origins | None = None, runs: int = 3) -> Plan:
    """Compile `model` (.xml or .onnx) as the runtime does, execute it, read the executed graph.

    Args:
        origins: of the ONNX graph, for the modules of what is no convolution; those of
            convolutions are known from the names of their weights, which OpenVINO keeps.
        runs: on black images; `Kernel.seconds` is the mean of all.
    Raises:
        BackendError: OpenVINO is not installed. ExportError: it refused the model.
    """
    try:
        openvino = load_openvino()
    except ImportError as error:
        raise BackendError("OpenVINO is not installed; pip install openvino") from error
    version = openvino.__version__.split("-")[0]
    try:
        core = core_of(openvino)
        compiled = core.compile_model(
            core.read_model(str(model)), "CPU", {**settings(), "PERF_COUNT": True}
        )
        request = compiled.create_infer_request()
        images = {port.get_any_name(): _black(port) for port in compiled.inputs}
        for _ in range(runs):
            request.infer(images)
        operations = compiled.get_runtime_model().get_ordered_ops()
        kernels = [_kernel(op) for op in operations if _executed(op)]
    except RuntimeError as error:
        raise ExportError(f"{model}: OpenVINO {version} refused it: {reason(error)}") from error
    plan = Plan("openvino", version, CPU, tuple(kernels), None, None)
    return origins.annotate(plan) if origins else plan


def _black(port: Any) -> np.ndarray:
    shape = [1 if dim.is_dynamic else dim.get_length() for dim in port.partial_shape]
    return np.zeros(shape, np.uint8)


def _executed(op: Any) -> bool:
    """Inputs, constants and what was fused away or computed in place have no time."""
    microseconds = _info(op, "execTimeMcs")
    return microseconds not in ("", NOT_EXECUTED) and _info(op, "layerType") != "Output"


def _kernel(op: Any) -> Kernel:
    kind = _info(op, "layerType")
    operands = [(_source(port), _tensor(port)) for port in op.inputs()]
    constants = tuple(t for source, t in operands if _info(source, "layerType") == _CONSTANT)
    inputs = tuple(t for source, t in operands if _info(source, "layerType") != _CONSTANT)
    outputs = tuple(_tensor(port, op.get_friendly_name()) for port in op.outputs())
    flops = module = None
    if kind in _CONVOLUTIONS and constants:
        weight = max(constants, key=lambda t: math.prod(t.shape))
        flops = _flops(weight, outputs[0])
        if weight.name.partition(".weight")[1]:
            module = module_path(weight.name)
    return Kernel(
        op.get_friendly_name(),
        kind,
        inputs,
        constants,
        outputs,
        _nodes(op),
        multiplies_in(inputs, constants, outputs, flops),
        flops,
        int(_info(op, "execTimeMcs")) * 1e-6,
        module,
    )


def _nodes(op: Any) -> tuple[str, ...]:
    """A convolution that lost its bias to another operation has the node's name and a suffix."""
    names = _info(op, "originalLayersNames").split(",")
    return tuple(dict.fromkeys(name.removesuffix("/WithoutBiases") for name in names if name))


def _flops(weight: Tensor, output: Tensor) -> int | None:
    """A grouped weight is [G, O/G, I/G, kh, kw]: what multiplies one output is the rest."""
    if len(output.shape) < 3:
        return None  # one vector a pair: see export.plan.multiply.matrix_flops
    return 2 * math.prod(output.shape) * math.prod(weight.shape) // output.shape[1]


def _source(port: Any) -> Any:
    return port.get_source_output().get_node()


def _tensor(port: Any, name: str | None = None) -> Tensor:
    dtype = port.get_element_type().get_type_name()
    if dtype not in DTYPES:
        raise ExportError(f"OpenVINO executes in {dtype}, which no plan here knows")
    shape = tuple(d.get_length() if d.is_static else 1 for d in port.get_partial_shape())
    return Tensor(name or _source(port).get_friendly_name(), shape, DTYPES[dtype])


def _info(op: Any, key: str) -> str:
    return str(op.rt_info[key].astype(str)) if key in op.rt_info else ""

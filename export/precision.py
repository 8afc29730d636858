"""The precision proof of an engine: what its compiler, or the processor, made of the graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from export.convolved_upsampling import MODULE
from export.plan.origin import Origins, module_path
from export.plan.proof import check_precision, permits
from export.plan.record import FILE_NAME, Plan
from export.request import EngineRequest
from runtime.errors import ExportError
from train.model.inference_form import inference_form
from train.quantisation.placement import convolutions
from train.quantisation.units import unit_of


def prove_precision(folder: Path, model: onnx.ModelProto, request: EngineRequest) -> dict[str, Any]:
    """`check_precision` of the engine in `folder`; spared units are allowed what they were given.

    Raises:
        ExportError: convolutions in another precision than the engine is to have.
    """
    options = request.options
    if options.precision == "fp16":
        _check_graph(model, request.proof.allow_mixed)
    allowed = request.proof.allow_mixed
    if options.high_precision:
        allowed = allowed.union(_spared(request))
    plan = _plan(folder, model, request)
    network = tuple(kernel for kernel in plan.kernels if kernel.module != MODULE)
    return check_precision(replace(plan, kernels=network), options.precision, allowed)


def _spared(request: EngineRequest) -> list[str]:
    """Module paths of the convolutions that were left in floating point."""
    return [
        path.removeprefix("network.")
        for path in convolutions(inference_form(request.source.network))
        if unit_of(path) in request.options.high_precision
    ]


def _check_graph(model: onnx.ModelProto, allowed: frozenset[str]) -> None:
    """A compiler may compute in FP16 what the graph asks for in FP32 (TensorRT-RTX does so
    with a lone convolution), so the graph itself is looked at, too."""
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    wide = [
        module
        for node in model.graph.node
        if node.op_type == "Conv" and types.get(node.input[1]) != onnx.TensorProto.FLOAT16
        if not permits(allowed, [node.name], module := module_path(node.input[1]))
    ]
    if wide:
        more = f" and {len(wide) - 1} more" if len(wide) > 1 else ""
        raise ExportError(
            f"fp16 proof: the graph has {len(wide)} convolutions that are not FP16: {wide[0]}"
            f"{more}; where that is meant, --allow-mixed {wide[0]} permits it"
        )


def _plan(folder: Path, model: onnx.ModelProto, request: EngineRequest) -> Plan:
    name = request.target.name
    if name == "openvino":
        from export.plan import openvino_layers

        return openvino_layers.profile(folder / "model.xml", Origins(model), runs=1)
    if name == "onnxruntime":
        from export.plan import onnxruntime_layers

        return onnxruntime_layers.profile(folder / "model.onnx", Origins(model), runs=1)
    return Plan.read(folder / FILE_NAME)

"""The precision proof of an engine: what its compiler, or the processor, made of the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from export.plan.origin import Origins
from export.plan.proof import check_precision
from export.plan.record import FILE_NAME, Plan
from export.request import EngineRequest
from train.model.inference_form import inference_form
from train.quantisation.placement import convolutions
from train.quantisation.units import unit_of


def prove_precision(folder: Path, model: onnx.ModelProto, request: EngineRequest) -> dict[str, Any]:
    """`check_precision` of the engine in `folder`; spared units are allowed what they were given.

    Raises:
        ExportError: convolutions in another precision than the engine is to have.
    """
    options = request.options
    spared = [
        path.removeprefix("network.")
        for path in convolutions(inference_form(request.source.network))
        if unit_of(path) in options.high_precision
    ]
    allowed = request.proof.allow_mixed.union(spared)
    return check_precision(_plan(folder, model, request), options.precision, allowed)


def _plan(folder: Path, model: onnx.ModelProto, request: EngineRequest) -> Plan:
    name = request.target.name
    if name == "openvino":
        from export.plan import openvino_layers

        return openvino_layers.profile(folder / "model.xml", Origins(model), runs=1)
    if name == "onnxruntime":
        from export.plan import onnxruntime_layers

        return onnxruntime_layers.profile(folder / "model.onnx", Origins(model), runs=1)
    return Plan.read(folder / FILE_NAME)

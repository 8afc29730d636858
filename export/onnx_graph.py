"""The deploy graph as an ONNX file: exported, simplified, checked."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import onnx
import onnxsim
import torch
from torch import nn

from export.deploy import DeployGraph, DeployOptions
from runtime.backends.contract import INPUTS, OUTPUTS
from runtime.errors import ExportError

IR_VERSION = 9
"""The first that holds opset 19; ONNX Runtime before 1.18 takes no later one."""


def export_onnx(graph: DeployGraph, options: DeployOptions) -> onnx.ModelProto:
    """Export, simplify with onnxsim, and check.

    Raises:
        ExportError: the graph fails the ONNX checker or lost the deploy contract.
    """
    batch = options.batch[1] if options.fixed_batch else max(options.batch[1], 2)
    image = torch.zeros(batch, options.height, options.width, 3, dtype=torch.uint8)
    dynamic = None
    if not options.fixed_batch:
        axis = {0: torch.export.Dim("batch", min=options.batch[0], max=options.batch[2])}
        dynamic = {"pre": axis, "post": axis}
    model = trace(graph, (image, image.clone()), INPUTS, OUTPUTS, options.opset, dynamic)
    check_contract(model, options)
    return model


def trace(
    graph: nn.Module,
    images: tuple[torch.Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    opset: int,
    dynamic: dict[str, Any] | None = None,
) -> onnx.ModelProto:
    """A module as a simplified ONNX graph; ExportError where simplifying changes it."""
    with _quiet():
        program = torch.onnx.export(
            graph,
            images,
            dynamo=True,
            opset_version=opset,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=dynamic,
            verbose=False,
            optimize=False,
        )
    model = _simplify(program.model_proto)
    model.ir_version = IR_VERSION
    return model


def _simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    with _quiet():
        simplified, equal = onnxsim.simplify(model)
    if not equal:
        raise ExportError("onnx-simplifier changed what the graph computes; report this graph")
    return simplified


def check_contract(model: onnx.ModelProto, options: DeployOptions) -> None:
    """ONNX checker, shape inference, and names, dtypes and shapes of the deploy contract."""
    try:
        onnx.checker.check_model(model)
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the exported graph is not valid ONNX: {error}") from error
    shape = (options.height, options.width)
    expected = {**dict.fromkeys(INPUTS, (*shape, 3)), **dict.fromkeys(OUTPUTS, shape)}
    found = {}
    for value in [*inferred.graph.input, *inferred.graph.output]:
        tensor = value.type.tensor_type
        if tensor.elem_type != onnx.TensorProto.UINT8:
            raise ExportError(f"{value.name}: expected uint8 in the deploy graph")
        found[value.name] = tuple(d.dim_value for d in tensor.shape.dim)[1:]
    if found != expected:
        raise ExportError(f"the exported graph has {found}, the deploy contract wants {expected}")


def save_onnx(model: onnx.ModelProto, path: Path) -> None:
    onnx.save(model, str(path))


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's own progress is not for our user; its errors still come through."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield

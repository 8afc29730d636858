from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.deploy import DeployOptions, deploy_graph
from export.onnx_graph import export_onnx, save_onnx
from export.plan.record import Plan
from train.checkpoint import load_checkpoint
from train.quantisation.artefact import read_artefact

SIDE = 64

FORMS = {
    "fp16": {"precision": "fp16"},
    "int8": {"precision": "int8", "half_around": True},
    "int8-cpu": {"precision": "int8", "int8_form": "unsigned"},
    "dynamic": {"precision": "fp16", "batch": (1, 2, 4)},
}


class Made(dict):
    """Values by name, each made when it is first asked for: exports and builds take seconds."""

    def __init__(self, make: Callable[[str], object]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, name: str) -> object:
        self[name] = self._make(name)
        return self[name]


@pytest.fixture(scope="session")
def graphs(
    fp32_onnx: onnx.ModelProto, small_checkpoint: Path, calibration_file: Path
) -> dict[str, onnx.ModelProto]:
    """The small network's deploy graph in every form."""

    def make(name: str) -> onnx.ModelProto:
        if name == "fp32":
            return fp32_onnx
        options = DeployOptions(SIDE, SIDE, **FORMS[name])
        artefact = read_artefact(calibration_file) if options.precision == "int8" else None
        network = load_checkpoint(small_checkpoint).network()
        return export_onnx(deploy_graph(network, options, artefact), options)

    return Made(make)


@pytest.fixture(scope="session")
def compiled() -> Callable[..., Plan]:
    """A graph compiled by TensorRT-RTX for compute capability 8.6; its plan."""
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    from export.builders.tensorrt import compile_graph

    def make(model: onnx.ModelProto, batch: tuple[int, int, int] = (1, 1, 1)) -> Plan:
        options = DeployOptions(SIDE, SIDE, batch)
        return compile_graph(model, options, "tensorrt-rtx", "8.6")[1]

    return make


@pytest.fixture(scope="session")
def plans(graphs: dict[str, onnx.ModelProto], compiled: Callable[..., Plan]) -> dict[str, Plan]:
    """What TensorRT-RTX made of each form."""
    batches = {"dynamic": (1, 2, 4)}
    return Made(lambda name: compiled(graphs[name], batches.get(name, (1, 1, 1))))


@pytest.fixture(scope="session")
def saved(graphs: dict[str, onnx.ModelProto], tmp_path_factory) -> dict[str, Path]:
    """Each form as a file."""
    folder = tmp_path_factory.mktemp("graphs")

    def make(name: str) -> Path:
        save_onnx(graphs[name], folder / f"{name}.onnx")
        return folder / f"{name}.onnx"

    return Made(make)


@pytest.fixture(scope="session")
def in_fp32() -> Callable[..., onnx.ModelProto]:
    """A copy of an FP16 graph with one convolution, by its module, in FP32 between casts.

    An FP32 multiplication before it holds it there, unless it is left out: the compiler
    folds casts away that stand around nothing else.
    """

    def plant(model: onnx.ModelProto, module: str, held: bool = True) -> onnx.ModelProto:
        model, node, weights = _editable(model, module)
        graph = model.graph
        for name in node.input[1:]:
            wide = numpy_helper.to_array(weights[name]).astype(np.float32)
            weights[name].CopyFrom(numpy_helper.from_array(wide, name))
        source, target = node.input[0], node.output[0]
        node.input[0], node.output[0] = "scaled" if held else "wide", "result"
        before = [helper.make_node("Cast", [source], ["wide"], "widen", to=TensorProto.FLOAT)]
        if held:
            graph.initializer.append(numpy_helper.from_array(np.float32(1.001), "scale"))
            before.append(helper.make_node("Mul", ["wide", "scale"], ["scaled"], "scaling"))
        after = helper.make_node("Cast", ["result"], [target], "narrow", to=TensorProto.FLOAT16)
        index = list(graph.node).index(node)
        graph.node.insert(index + 1, after)
        for each in reversed(before):
            graph.node.insert(index, each)
        return model

    return plant


@pytest.fixture(scope="session")
def unquantised() -> Callable[..., onnx.ModelProto]:
    """A copy of a Q/DQ graph, one convolution of which reads the tensor before its Q.

    Its weight loses Q/DQ too, unless that is to stay.
    """

    def strip(model: onnx.ModelProto, module: str, keep_weight: bool = False) -> onnx.ModelProto:
        model, node, weights = _editable(model, module)
        producers = {name: n for n in model.graph.node for name in n.output}
        quantize = producers[producers[node.input[0]].input[0]]
        assert quantize.op_type == "QuantizeLinear"
        node.input[0] = quantize.input[0]
        if keep_weight:
            return model
        stored, scale = (
            numpy_helper.to_array(weights[n]) for n in producers[node.input[1]].input[:2]
        )
        bias = numpy_helper.to_array(weights[node.input[2]])
        real = (stored * scale.reshape(-1, 1, 1, 1)).astype(bias.dtype)
        name = f"core.network.{module}.weight.real"
        model.graph.initializer.append(numpy_helper.from_array(real, name))
        node.input[1] = name
        return model

    return strip


def _editable(
    model: onnx.ModelProto, module: str
) -> tuple[onnx.ModelProto, onnx.NodeProto, dict[str, onnx.TensorProto]]:
    from export.plan.origin import Origins

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    found = Origins(model).convolutions.values()
    (name,) = (c.node for c in found if c.module == module)
    (node,) = (n for n in copy.graph.node if n.name == name)
    return copy, node, {w.name: w for w in copy.graph.initializer}

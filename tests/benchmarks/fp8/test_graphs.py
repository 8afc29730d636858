"""FP8 graphs: E4M3's rounding in closed form, a convolution in NumPy, and where the Q/DQ stand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from benchmarks.fp8.graphs import LARGEST, Convolution, placed, retyped, stored
from export.deploy import DeployOptions, deploy_graph
from export.onnx_graph import export_onnx
from train.checkpoint import load_checkpoint
from train.quantisation.artefact import read_artefact

SIDE = 64
AMAX = 4.0
WEIGHT = "core.network.pre.layer1.0.conv1.weight"


def e4m3(values: np.ndarray) -> np.ndarray:
    """Three bits behind the leading one, exponents -6 to 8, below them equal steps; float64."""
    values = np.asarray(values, np.float64)
    exponent = np.clip(np.floor(np.log2(np.maximum(np.abs(values), 1e-30))), -6, 8)
    step = 2.0 ** (exponent - 3)
    return np.clip(np.round(values / step) * step, -448, 448)


@pytest.fixture(scope="module")
def int8(small_checkpoint: Path, calibration_file: Path) -> onnx.ModelProto:
    options = DeployOptions(SIDE, SIDE, precision="int8", half_around=True)
    network = load_checkpoint(small_checkpoint).network()
    return export_onnx(deploy_graph(network, options, read_artefact(calibration_file)), options)


@pytest.fixture
def convolution() -> onnx.ModelProto:
    """FP16, 3x3, 4 channels to 5, with a bias and a ReLU."""
    random = np.random.default_rng(1)
    constants = [
        numpy_helper.from_array(random.normal(size=(5, 4, 3, 3)).astype(np.float16), WEIGHT),
        numpy_helper.from_array(random.normal(size=5).astype(np.float16), "bias"),
    ]
    nodes = [
        helper.make_node("Conv", ["x", WEIGHT, "bias"], ["sum"], name="conv"),
        helper.make_node("Relu", ["sum"], ["y"], name="relu"),
    ]
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT16, shape)
        for name, shape in (("x", [1, 4, 9, 7]), ("y", [1, 5, 7, 5]))
    )
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def test_e4m3_rounds_to_nearest_even_and_ends_at_448() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=4096) * 2.0 ** random.integers(-12, 10, 4096)
    ties = np.concatenate([2.0**e * (1 + np.arange(16) / 16) for e in range(-6, 9)])
    special = [0.0, 448.0, 449.0, 1e6, -1e6, 2.0**-9, 2.0**-10, 3 * 2.0**-10, -(2.0**-11)]
    for each in (values, ties, -ties, np.array(special)):
        found = numpy_helper.to_array(stored("w", each)).astype(np.float64)
        assert np.array_equal(found, e4m3(each.astype(np.float32)))


def test_a_convolution_between_q_and_dq_is_that_of_rounded_numbers(convolution) -> None:
    weight, bias = (
        numpy_helper.to_array(c).astype(np.float64) for c in convolution.graph.initializer
    )
    x = np.random.default_rng(2).normal(size=(1, 4, 9, 7)).astype(np.float16)
    model = placed(convolution, lambda _: True, AMAX)
    onnx.checker.check_model(model, full_check=True)
    (found,) = ReferenceEvaluator(model).run(None, {"x": x})

    step = np.float64(np.float16(AMAX / LARGEST))
    # Q divides in FP16.
    rounded = e4m3((x / np.float16(step)).astype(np.float64)) * step
    scale = np.float64(np.float16(np.abs(weight).max() / LARGEST))
    weight = e4m3(weight / scale) * scale
    windows = sliding_window_view(rounded[0], (3, 3), axis=(1, 2))
    expected = np.einsum("oikl,ihwkl->ohw", weight, windows) + bias[:, None, None]
    assert np.abs(found[0] - np.maximum(expected, 0)).max() < 0.02
    (fp16,) = ReferenceEvaluator(convolution).run(None, {"x": x})
    assert np.abs(found - fp16).max() > 0.05  # rounding to E4M3 is seen at that bound


@pytest.mark.parametrize("activations", [True, False])
def test_only_chosen_convolutions_get_q_and_dq(convolution, activations: bool) -> None:
    seen: list[Convolution] = []
    untouched = placed(convolution, lambda c: bool(seen.append(c)), AMAX, activations)
    assert seen == [Convolution("pre.layer1", (3, 3), 4, "input")]
    assert _kinds(untouched) == Counter(Conv=1, Relu=1)
    chosen = placed(convolution, lambda _: True, AMAX, activations)
    q = int(activations)
    assert _kinds(chosen) == Counter(Conv=1, Relu=1, QuantizeLinear=q, DequantizeLinear=1 + q)


@pytest.mark.slow
@pytest.mark.parametrize("per_channel", [True, False])
def test_a_retyped_graph_has_e4m3_where_int8_was(int8, per_channel: bool) -> None:
    model = retyped(int8, per_channel)
    onnx.checker.check_model(model, full_check=True)
    assert _kinds(model) == _kinds(int8)
    assert not _of_type(model, TensorProto.INT8)
    eight, before = _of_type(model, TensorProto.FLOAT8E4M3FN), _of_type(int8, TensorProto.INT8)
    q_and_dq = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(q_and_dq) == 2 * _kinds(int8)["QuantizeLinear"] + _kinds(int8)["Conv"]
    assert all(node.input[2] in eight for node in q_and_dq)
    assert eight.keys() == before.keys()


@pytest.mark.slow
@pytest.mark.parametrize("per_channel", [True, False])
def test_a_retyped_graph_has_the_same_weights_and_ranges(int8, per_channel: bool) -> None:
    model = retyped(int8, per_channel)
    new, old = ({c.name: c for c in m.graph.initializer} for m in (model, int8))
    for node, before in zip(model.graph.node, int8.graph.node, strict=True):
        if node.op_type == "QuantizeLinear":
            amax, expected = (
                numpy_helper.to_array(constants[each.input[1]]).astype(float) * levels
                for constants, each, levels in ((new, node, 448), (old, before, 127))
            )
            assert amax == pytest.approx(expected, rel=2e-3)
        elif node.op_type == "DequantizeLinear" and node.input[0] in new:
            weight, expected = (_dequantised(c, n) for c, n in ((new, node), (old, before)))
            # Half a step of three bits, or of the equal steps below them.
            bound = np.abs(expected) / 16 + np.abs(expected).max() / 448 * 2.0**-10
            assert (np.abs(weight - expected) <= 1.01 * bound).all()


def _dequantised(constants: dict[str, onnx.TensorProto], node: onnx.NodeProto) -> np.ndarray:
    stored, scale = (numpy_helper.to_array(constants[name]) for name in node.input[:2])
    return stored.astype(np.float64) * scale.astype(np.float64).reshape(-1, 1, 1, 1)


def _kinds(model: onnx.ModelProto) -> Counter[str]:
    return +Counter(node.op_type for node in model.graph.node)


def _of_type(model: onnx.ModelProto, kind: int) -> dict[str, onnx.TensorProto]:
    return {each.name: each for each in model.graph.initializer if each.data_type == kind}

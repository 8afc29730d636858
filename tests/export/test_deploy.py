"""The deploy graph: the contract, and the same labels as PyTorch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from calibration.observe import observe
from export.deploy import OPSET, DeployGraph, DeployOptions, deploy_graph
from export.onnx_graph import export_onnx
from export.rewrites import FOR_NVIDIA
from runtime.errors import ConfigError
from train.checkpoint import load_checkpoint
from train.inference import predict_maps
from train.model import DualHRNet, ModelConfig
from train.model.inference_form import inference_form
from train.quantisation.artefact import Artefact, read_artefact
from train.quantisation.fake import Range
from train.xbd import find_tiles

SIDE = 64


class _Operations(TorchDispatchMode):
    """The names of all that is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.name())
        return func(*args, **(kwargs or {}))


def _run(model: onnx.ModelProto, pre: np.ndarray, post: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(["damage", "building", "confidence"], {"pre": pre, "post": post})


def test_graph_keeps_the_deploy_contract(fp32_onnx: onnx.ModelProto) -> None:
    values = [*fp32_onnx.graph.input, *fp32_onnx.graph.output]
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}
    assert shapes == {
        "pre": [1, SIDE, SIDE, 3],
        "post": [1, SIDE, SIDE, 3],
        "damage": [1, SIDE, SIDE],
        "building": [1, SIDE, SIDE],
        "confidence": [1, SIDE, SIDE],
    }
    assert {v.type.tensor_type.elem_type for v in values} == {onnx.TensorProto.UINT8}
    assert fp32_onnx.opset_import[0].version == OPSET
    assert not [n for n in fp32_onnx.graph.node if n.op_type == "BatchNormalization"]


def test_rectangular_graph_gives_pytorchs_maps(plausible: Callable) -> None:
    options = DeployOptions(height=64, width=96, threshold=0.35)
    network = plausible()
    random = np.random.default_rng(0)
    pre, post = random.integers(0, 256, (2, 64, 96, 3), np.uint8)
    damage, building, confidence = _run(
        export_onnx(deploy_graph(network, options), options), pre[None], post[None]
    )
    expected = predict_maps(network, pre, post, 0.35)
    assert len(np.unique(expected[0])) == 5
    assert np.mean(damage[0] == expected[0]) >= 0.9999
    assert np.abs(building[0].astype(int) - expected[1]).max() <= 1
    assert (
        np.array_equal(damage > 0, building >= round(0.35 * 255))
        or np.mean((damage > 0) == (building / 255 >= 0.35)) > 0.99
    )
    agreeing = damage[0] == expected[0]
    assert np.abs(confidence[0].astype(int) - expected[2])[agreeing].max() <= 1


def _with(config: ModelConfig, **options: object) -> ModelConfig:
    given = config.model_dump(exclude_defaults=True)
    return ModelConfig.model_validate({**given, **options})


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_graph_takes_nothing_from_the_host(plausible: Callable, precision: str) -> None:
    """On a GPU it would be a copy in each run, which no CUDA graph can capture."""
    options = DeployOptions(SIDE, SIDE, precision=precision, rewrites=FOR_NVIDIA)
    graph, image = deploy_graph(plausible(), options), torch.zeros(1, SIDE, SIDE, 3).byte()
    with torch.no_grad(), _Operations() as seen:
        graph(image, image)
    assert "aten::convolution" in seen.names
    assert "aten::lift_fresh" not in seen.names  # of a tensor made from numbers


@pytest.mark.parametrize(
    "fields",
    [
        {"architecture": "si-analytics"},
        {"fusion": "conv"},
        {"streams": "siamese"},
        {"streams": "single"},
    ],
)
def test_every_architecture_exports(
    plausible: Callable, small_config: ModelConfig, fields: dict
) -> None:
    network = plausible(_with(small_config, **fields))
    options = DeployOptions(height=SIDE, width=SIDE)
    random = np.random.default_rng(1)
    pre, post = random.integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    damage, *_ = _run(export_onnx(deploy_graph(network, options), options), pre[None], post[None])
    assert np.mean(damage[0] == predict_maps(network, pre, post)[0]) >= 0.9999


def test_batch_range_is_an_axis_of_the_graph(small_checkpoint, pair) -> None:
    options = DeployOptions(height=SIDE, width=SIDE, batch=(1, 2, 4))
    network = load_checkpoint(small_checkpoint).network()
    model = export_onnx(deploy_graph(network, options), options)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    pre, post = (np.stack([image] * 3) for image in pair)
    pre[1] = 255 - pre[1]
    together = _run(model, pre, post)
    for n in range(3):
        alone = _run(model, pre[n : n + 1], post[n : n + 1])
        assert all(np.array_equal(a[n], b[0]) for a, b in zip(together, alone, strict=True))


@pytest.mark.parametrize("form", [pytest.param("signed", marks=pytest.mark.slow), "unsigned"])
def test_int8_graph_rounds_as_the_fake_quantised_network_does(
    small_checkpoint, calibration_file, pair, form
) -> None:
    options = DeployOptions(height=SIDE, width=SIDE, precision="int8", int8_form=form)
    network = load_checkpoint(small_checkpoint).network()
    graph = deploy_graph(network, options, read_artefact(calibration_file))
    model = export_onnx(graph, options)
    nodes = [n.op_type for n in model.graph.node]
    assert nodes.count("DequantizeLinear") == nodes.count("QuantizeLinear") + nodes.count("Conv")
    stored = {t.name: t.data_type for t in model.graph.initializer}
    weights = {n.input[0] for n in model.graph.node if n.op_type == "DequantizeLinear"}
    assert {stored[w] for w in weights if w in stored} == {onnx.TensorProto.INT8}

    _assert_rounds_alike(model, graph, network, pair)


def test_int8_graph_of_a_siamese_network_too(plausible, small_config, synthetic, pair) -> None:
    network = plausible(_with(small_config, streams="siamese"))
    tiles = find_tiles(synthetic, "train")[:4]
    observers = observe(inference_form(network), network.config, tiles, "minmax")
    ranges = {name: Range(o.amax(), o.minimum >= 0) for name, o in observers.items()}
    options = DeployOptions(height=SIDE, width=SIDE, precision="int8", int8_form="unsigned")
    graph = deploy_graph(network, options, Artefact("", {}, [], "minmax", ranges))
    _assert_rounds_alike(export_onnx(graph, options), graph, network, pair)


def _assert_rounds_alike(
    model: onnx.ModelProto, graph: DeployGraph, network: DualHRNet, pair: tuple
) -> None:
    with torch.inference_mode():
        expected = graph(*[torch.from_numpy(image)[None] for image in pair])
    # The optimiser may fuse; what is asked for is the same rounding, not the same kernels.
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings)
    damage = session.run(["damage"], {"pre": pair[0][None], "post": pair[1][None]})[0]
    same = np.mean(damage == expected[0].numpy())
    # A random network amplifies a single rounding tie, so the bound is not 1; the
    # unquantised network is the yardstick.
    assert same > 0.85
    assert same > np.mean(damage[0] == predict_maps(network, *pair)[0])


def test_fp16_graph_is_fp16_but_for_its_two_ends(small_checkpoint, pair) -> None:
    options = DeployOptions(height=SIDE, width=SIDE, precision="fp16")
    network = load_checkpoint(small_checkpoint).network()
    model = export_onnx(deploy_graph(network, options), options)
    inferred = onnx.shape_inference.infer_shapes(model)
    kinds = {v.name: v.type.tensor_type.elem_type for v in inferred.graph.value_info}
    convs = [n for n in model.graph.node if n.op_type == "Conv"]
    assert {kinds[n.output[0]] for n in convs} == {onnx.TensorProto.FLOAT16}
    damage, *_ = _run(model, pair[0][None], pair[1][None])
    assert np.mean(damage[0] == predict_maps(network, *pair)[0]) > 0.99


@pytest.mark.parametrize(
    "fields",
    [
        {"height": 100},
        {"width": 0},
        {"threshold": 0.0},
        {"threshold": 1.0},
        {"batch": (2, 1, 4)},
        {"batch": (0, 1, 1)},
    ],
)
def test_impossible_options_are_refused(fields: dict) -> None:
    with pytest.raises(ConfigError):
        dataclasses.replace(DeployOptions(), **fields)

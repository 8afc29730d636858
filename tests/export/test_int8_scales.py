"""The weights of an exported INT8 graph are those that PyTorch computes with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from torch import fx, nn

from calibration.calibrate import observed
from export.builders import tensorrt as builder
from export.deploy import OPSET, DeployOptions, deploy_graph
from export.half_precision import to_half
from export.onnx_graph import export_onnx
from runtime.errors import CalibrationError, ExportError
from train.model import DualHRNet
from train.quantisation.artefact import Artefact
from train.quantisation.fake import Form, QuantizedConv2d, Range, quantise
from train.quantisation.placement import sites
from train.xbd import find_tiles

SIDE = 64
GAINS = st.sampled_from([0.0, 1e-30, 1e-7, 1e-5, 1e-3, 1.0, 300.0])
AROUND: list[tuple[Form, torch.dtype]] = [
    ("signed", torch.float16), ("signed", torch.float32), ("unsigned", torch.float32),
    ("unsigned-narrow", torch.float32),
]  # fmt: skip


class _Block(nn.Module):
    """Two convolutions under the names of a network's."""

    def __init__(self, gains: Sequence[float]) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.pre = nn.ModuleDict(
            {
                "conv1": nn.Conv2d(3, len(gains), 3, padding=1),
                "relu": nn.ReLU(),
                "conv2": nn.Conv2d(len(gains), 4, 3, padding=1),
            }
        )
        for conv in (self.pre["conv1"], self.pre["conv2"]):
            conv.weight.data = torch.randn(conv.weight.shape, generator=random) * 0.2
            conv.bias.data = torch.rand(conv.bias.shape, generator=random) + 0.2
        self.pre["conv1"].weight.data *= torch.tensor(gains).view(-1, 1, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pre["conv2"](self.pre["relu"](self.pre["conv1"](x)))


def _image() -> torch.Tensor:
    return torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def _rounded(gains: Sequence[float], form: Form, scales: torch.dtype) -> fx.GraphModule:
    core = fx.symbolic_trace(_Block(gains)).eval().requires_grad_(False)
    hidden = core.get_submodule("pre.conv1")(_image()).clamp(min=0).max().item()
    ranges = dict(zip([s.name for s in sites(core)], [1.0, hidden], strict=True))
    spans = {name: Range(amax, True) for name, amax in ranges.items()}
    quantise(core, spans, form, scales=scales)
    return to_half(core) if scales == torch.float16 else core


def _exported(core: fx.GraphModule, image: torch.Tensor) -> onnx.ModelProto:
    program = torch.onnx.export(
        core, (image,), dynamo=True, opset_version=OPSET, verbose=False, optimize=False
    )
    return program.model_proto


def _weights(model: onnx.ModelProto, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    """What ONNX Runtime makes of each INT8 weight, in order of execution."""
    stored = {each.name for each in model.graph.initializer}
    found = [
        node.output[0]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in stored
    ]
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in found)
    return _session(watched, optimised=False).run(found, feed)


def _session(model: onnx.ModelProto, *, optimised: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


@pytest.mark.parametrize(("form", "scales"), AROUND)
@given(gains=st.lists(GAINS, min_size=8, max_size=8))
@settings(deadline=None, max_examples=4)
def test_the_graphs_weights_are_those_of_pytorch(
    form: Form, scales: torch.dtype, gains: list[float]
) -> None:
    core = _rounded(gains, form, scales)
    image = _image().to(scales)
    model = _exported(core, image)
    got = _weights(model, {model.graph.input[0].name: image.numpy()})
    rounded = [m for m in core.modules() if isinstance(m, QuantizedConv2d)]
    assert len(got) == len(rounded) == 2
    true = [m.weight for m in _Block(gains).modules() if isinstance(m, nn.Conv2d)]
    for weights, module, exact in zip(got, rounded, true, strict=True):
        column = module.scale.view(-1, 1, 1, 1)
        assert weights.dtype == column.numpy().dtype
        assert np.array_equal(weights, (module.weight.to(scales) * column).numpy())
        # Half a step of the stored scale, and FP16's own rounding of the product.
        bound = 0.5 * column.float() + exact.abs() * torch.finfo(scales).eps
        assert (torch.from_numpy(weights).float() - exact).abs().le(bound * 1.001).all()


@pytest.mark.parametrize("gain", [1e-7, 1e-30, 0.0])
def test_onnx_runtime_keeps_the_bias_of_a_channel_of_tiny_weights(gain: float) -> None:
    """It makes whole numbers of it, which only hold 32 bits.

    In the form that its engines have: products of all 8 bits saturate where there is no VNNI.
    """
    core = _rounded([1.0, gain, gain, 0.5], "unsigned-narrow", torch.float32)
    model = _exported(core, _image())
    feed = {model.graph.input[0].name: _image().numpy()}
    plain, fused = (_session(model, optimised=o).run(None, feed)[0] for o in (False, True))
    with torch.no_grad():
        exact = core(_image()).numpy()
    assert np.abs(plain - exact).max() < 0.02
    assert np.abs(fused - exact).max() < 0.02


@pytest.fixture(scope="module")
def faint(plausible: Callable, small: Callable) -> DualHRNet:
    """Channels of every size: gains of 0, 1e-30, 1e-7 and 1e5, and a third of 1e-5, in pairs that
    are equalised and in layers that are not."""
    network = plausible(small(squeeze_excitation=False))
    with torch.no_grad():
        for block in (network.pre.layer1[0], network.post.layer1[0]):
            block.bn1.weight[:3] = torch.tensor([0.0, 1e-30, 1e-7])
            block.bn3.weight[:3] = torch.tensor([0.0, 1e-30, 1e-7])
            for norm, after, channels, factor in (
                (block.bn1, block.conv2, slice(3, 4), 1e5),
                (block.bn2, block.conv3, slice(None, None, 3), 1e-5),
            ):
                norm.weight[channels] *= factor
                norm.bias[channels] *= factor
                after.weight[:, channels] /= factor
    return network


def _calibrated(network: DualHRNet, synthetic: Path) -> Artefact:
    return observed(network, "", find_tiles(synthetic, "train")[:2], ["minmax"])[0]


def test_tensorrt_rtx_builds_channels_of_every_size(faint: DualHRNet, synthetic: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    options = DeployOptions(height=SIDE, width=SIDE, precision="int8", half_around=True)
    artefact = _calibrated(faint, synthetic)
    graph = deploy_graph(faint, options, artefact)
    model = export_onnx(graph, options)
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    scales = [
        constants[node.input[1]] for node in model.graph.node if node.op_type.endswith("izeLinear")
    ]
    assert {scale.dtype for scale in scales} == {np.dtype(np.float16)}
    assert all((scale > 0).all() and np.isfinite(scale).all() for scale in scales)
    engine, _ = builder.compile_graph(model, options, "tensorrt-rtx", "8.6")
    assert len(engine) > 10_000
    form = artefact.form(faint)
    for path, module in graph.core.named_modules():
        if isinstance(module, QuantizedConv2d):
            true = form.get_submodule(path).weight
            column = module.scale.float().view(-1, 1, 1, 1)
            error = (module.weight.float() * column - true).abs()
            assert (error <= 0.5 * column * 1.001).all(), path
            if path.endswith("layer1.0.conv2"):  # a third of its channels are of 1e-5
                largest = true.abs().amax((1, 2, 3))
                assert (error.amax((1, 2, 3)) <= 0.5 / 127 * 1.01 * largest).all(), path


def test_weights_beyond_fp16_are_refused_by_name(plausible: Callable, synthetic: Path) -> None:
    network = plausible()
    artefact = _calibrated(network, synthetic)
    with torch.no_grad():
        network.pre.layer1[0].conv1.weight[0, 0] = 1e8
    options = DeployOptions(height=SIDE, width=SIDE, precision="int8", half_around=True)
    with pytest.raises(
        ExportError, match=r"pre.layer1.0.conv1: has weights that are NaN, or beyond"
    ):
        deploy_graph(network, options, artefact)
    deploy_graph(network, dataclasses.replace(options, half_around=False), artefact)


def test_a_range_beyond_fp16_is_refused_by_name(plausible: Callable, synthetic: Path) -> None:
    network = plausible()
    artefact = _calibrated(network, synthetic)
    ranges = {**artefact.ranges, "post.conv2": Range(1e5, True)}
    artefact = dataclasses.replace(artefact, ranges=ranges)
    options = DeployOptions(height=SIDE, width=SIDE, precision="int8", half_around=True)
    with pytest.raises(CalibrationError, match=r"post.conv2: range 100000 is beyond 65504"):
        deploy_graph(network, options, artefact)

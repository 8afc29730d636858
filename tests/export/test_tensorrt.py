"""NVIDIA's own parser and compiler on every kind of graph. Nothing here needs a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import TensorProto, helper

from export.builders import tensorrt as builder
from export.deploy import DeployOptions, deploy_graph
from export.onnx_graph import export_onnx
from runtime.errors import BackendError, ConfigError, ExportError
from train.checkpoint import load_checkpoint
from train.quantisation.artefact import read_artefact

trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")

SIDE = 64


@pytest.mark.parametrize(
    ("precision", "batch"),
    [("fp32", (1, 1, 1)), ("fp16", (1, 1, 1)), ("fp16", (1, 2, 4)), ("int8", (1, 1, 1))],
)
def test_every_precision_is_parsed_and_compiled(
    small_checkpoint: Path, calibration_file: Path, tmp_path: Path, precision, batch
) -> None:
    options = DeployOptions(
        height=SIDE, width=SIDE, batch=batch, precision=precision, half_around=True
    )
    network = load_checkpoint(small_checkpoint).network()
    artefact = read_artefact(calibration_file) if precision == "int8" else None
    model = export_onnx(deploy_graph(network, options, artefact), options)
    names = builder.build(model, tmp_path, options, "tensorrt-rtx", "8.6")
    assert names == ["engine.plan", "plan.json"]
    assert (tmp_path / "engine.plan").stat().st_size > 10_000


def test_a_graph_the_parser_refuses_is_named(tmp_path: Path) -> None:
    image = helper.make_tensor_value_info("pre", TensorProto.FLOAT, [1, 3])
    out = helper.make_tensor_value_info("damage", TensorProto.FLOAT, [1, 3])
    node = helper.make_node("NoSuchOperator", ["pre"], ["damage"])
    model = helper.make_model(helper.make_graph([node], "g", [image], [out]))
    with pytest.raises(
        ExportError, match="tensorrt-rtx: the parser refused the graph: .*Plugin not found"
    ):
        builder.build(model, tmp_path, DeployOptions(), "tensorrt-rtx", "8.6")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("capability", ["5.0", "86", "sm86"])
def test_an_unknown_compute_capability_lists_the_known(capability: str) -> None:
    with pytest.raises(ConfigError, match=rf"{capability}: tensorrt-rtx .* for 12.0, .*8.6, 8.9"):
        builder.check_capability(capability)


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    with pytest.raises(
        BackendError, match=r"module tensorrt is not installed.*pip install tensorrt"
    ):
        builder.library("tensorrt")


def test_names_the_builder_uses_exist_in_the_real_bindings() -> None:
    for name in (
        "Builder", "OnnxParser", "ILogger", "NetworkDefinitionCreationFlag", "ProfilingVerbosity",
        "IBuilderConfig.profiling_verbosity", "IBuilderConfig.add_optimization_profile",
        "IBuilderConfig.set_compute_capability", "IBuilderConfig.num_compute_capabilities",
        "Builder.create_network", "Builder.create_builder_config",
        "Builder.create_optimization_profile", "Builder.build_serialized_network",
        "OnnxParser.parse", "OnnxParser.get_error", "OnnxParser.num_errors",
        "IOptimizationProfile.set_shape", "ProfilingVerbosity.DETAILED",
    ):  # fmt: skip
        owner = trt
        for part in name.split("."):
            owner = getattr(owner, part)


def test_profile_spans_the_batch_range() -> None:
    shapes = {}

    class Recorder:
        def create_optimization_profile(self) -> Recorder:
            return self

        def set_shape(self, name: str, low: tuple, best: tuple, high: tuple) -> None:
            shapes[name] = (low, best, high)

    options = DeployOptions(height=64, width=96, batch=(1, 2, 8))
    builder._profile(Recorder(), options)
    expected = ((1, 64, 96, 3), (2, 64, 96, 3), (8, 64, 96, 3))
    assert shapes == {"pre": expected, "post": expected}

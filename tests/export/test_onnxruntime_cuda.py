"""Engines for ONNX Runtime's CUDA provider, built where there is no GPU."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from export import options as export_options
from export.builders import onnxruntime as builder
from export.deploy import DeployOptions, deploy_graph
from export.onnx_graph import export_onnx
from export.plan.graph_layers import from_graph
from export.plan.onnxruntime_layers import placements
from export.plan.origin import Origins
from export.plan.record import Plan
from runtime.errors import BackendError
from runtime.host import compute_capability
from runtime.manifest import Manifest
from train.checkpoint import load_checkpoint

pytestmark = pytest.mark.skipif(compute_capability() is not None, reason="a GPU is here")

SIDE = 64

CUDA_KERNELS = {
    "Add": 14, "BatchNormalization": 15, "Cast": 13, "CastLike": 15, "Concat": 13,
    "Constant": 13, "Conv": 11, "Exp": 13, "Expand": 13, "Gather": 13, "Gemm": 13,
    "Greater": 13, "GreaterOrEqual": 16, "Max": 13, "Mul": 14, "Reciprocal": 13,
    "ReduceMean": 18, "ReduceSum": 13, "Relu": 14, "Reshape": 14, "Resize": 18, "Round": 11,
    "Sigmoid": 13, "Slice": 13, "Softmax": 13, "Split": 18, "Squeeze": 13, "Sub": 14,
    "Transpose": 13, "Unsqueeze": 13, "Where": 16,
}  # fmt: skip
"""Operators with a kernel in FP32 and FP16, and the version of the operator that it is for, from
ONNX Runtime's table of its CUDA provider's operators. CastLike and Constant are replaced before."""


@pytest.fixture(scope="module")
def built(small_checkpoint: Path, tmp_path_factory, command: Callable) -> Path:
    out = tmp_path_factory.mktemp("cuda") / "engine"
    result = command(
        "export.build_engine", "--fp16", "--target", "onnxruntime-cuda", "--size", SIDE, SIDE,
        "--checkpoint", small_checkpoint, "--out", out,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "built, not run; its ONNX graph on ONNX Runtime agrees with PyTorch" in result.stderr
    return out


@pytest.fixture(scope="module")
def graph(built: Path) -> onnx.ModelProto:
    return onnx.load(built / "model.onnx")


def test_what_was_not_run_is_told_so_everywhere(built: Path) -> None:
    manifest = Manifest.read(built)
    assert manifest.verification["status"] == "built, not run"
    assert manifest.verification["parity"]["what"] == "its ONNX graph on ONNX Runtime"
    assert manifest.verification["parity"]["label_agreement"] > 0.9
    target = manifest.target
    assert (target.backend, target.compute_capability) == ("onnxruntime-cuda", None)
    card = (built / "README.md").read_text()
    assert "This engine has not run on a GPU" in card
    assert "any NVIDIA GPU" in card
    assert 'pip install ".[onnxruntime-cuda]"' in card


def test_loading_it_here_is_one_line(built: Path, error_line: Callable, tmp_path: Path) -> None:
    image = Path(__file__).parents[2] / "runtime/example/pre.png"
    line = error_line("runtime.predict", "--engine", built, image, image, "--out", tmp_path / "map")
    assert "a onnxruntime-cuda engine runs on an NVIDIA GPU, and there is no NVIDIA driver" in line


def test_its_graph_is_fp16_at_the_opset_that_the_provider_has(graph: onnx.ModelProto) -> None:
    assert [(each.domain, each.version) for each in graph.opset_import] == [("", 18)]
    types = {tensor.name: tensor.data_type for tensor in graph.graph.initializer}
    convolutions = [node for node in graph.graph.node if node.op_type == "Conv"]
    assert convolutions
    assert {types[node.input[1]] for node in convolutions} == {onnx.TensorProto.FLOAT16}


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "fp32"},
        {"batch": (1, 2, 4)},
        pytest.param({"tta": "d4"}, marks=pytest.mark.slow),
    ],
    ids=["fp32", "batches", "d4"],
)  # fmt: skip
def test_every_operator_has_a_kernel_of_the_provider(
    small_checkpoint: Path, graph: onnx.ModelProto, changes: dict
) -> None:
    """One that has none is computed by the processor: there and back for its tensors. The version
    must be the kernel's own: one for a later version of the operator is not found."""
    form = {"precision": "fp16", "opset": 18, **changes}
    options = DeployOptions(SIDE, SIDE, **form)
    network = load_checkpoint(small_checkpoint).network()
    models = [graph, export_onnx(deploy_graph(network, options), options)]
    for kind in {node.op_type for model in models for node in model.graph.node}:
        assert kind in CUDA_KERNELS, f"{kind} is not known to be there"
        since = onnx.defs.get_schema(kind, 18, "").since_version
        assert since == CUDA_KERNELS[kind], f"{kind}: the graph has version {since}"
    assert onnx.defs.get_schema("Resize", 19, "").since_version == 19  # why not opset 19


def test_rewrites_for_a_compiler_are_left_out(tmp_path: Path) -> None:
    import argparse

    from export.build_engine import parser

    args = parser().parse_args(["--fp16"])
    assert isinstance(args, argparse.Namespace)
    ours = export_options.deploy_options(args, "onnxruntime-cuda")
    assert (ours.rewrites, ours.opset) == ((), 18)
    theirs = export_options.deploy_options(args, "tensorrt")
    assert theirs.rewrites
    assert theirs.opset == 19


def test_the_plan_counts_what_the_graph_computes(built: Path, graph: onnx.ModelProto) -> None:
    plan = Plan.read(built / "plan.json")
    assert plan.compiler == "onnxruntime-cuda"
    counted = Counter(kernel.kind for kernel in plan.kernels)
    wanted = Counter(n.op_type for n in graph.graph.node if n.op_type != "Constant")
    assert counted == wanted
    assert {kernel.precision for kernel in plan.convolutions} == {"fp16"}
    assert plan.flops == sum(c.flops for c in Origins(graph).convolutions.values())
    assert all(kernel.seconds is None for kernel in plan.kernels)
    first = next(k for k in plan.kernels if k.kind == "Conv")
    area, weight = first.outputs[0], first.constants[0]
    assert first.flops == 2 * area.shape[1] * area.shape[2] * area.shape[3] * (
        weight.shape[1] * weight.shape[2] * weight.shape[3]
    )


def test_a_dynamic_batch_is_counted_as_asked(fp32_onnx: onnx.ModelProto) -> None:
    one = from_graph(fp32_onnx, "onnxruntime-cuda", "1.31.1", 1)
    assert {kernel.precision for kernel in one.convolutions} == {"fp32"}
    assert one.convolutions[0].module


def test_placements_name_every_operation_and_who_executes_it(fp32_onnx, tmp_path: Path) -> None:
    onnx.save(fp32_onnx, tmp_path / "model.onnx")
    found = placements(tmp_path / "model.onnx", ["CPUExecutionProvider"])
    assert {provider for _, provider in found} == {"CPUExecutionProvider"}
    assert any("(Conv)" in name for name, _ in found)


def test_an_onnxruntime_that_records_too_little_is_refused(monkeypatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "__version__", "1.20.1")
    with pytest.raises(BackendError, match=r"1\.20\.1: engines are built with 1\.21 or newer; pip"):
        builder.library()


def test_the_manifest_of_one_is_read_by_its_schema(built: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    from docs.generate.manifest import schema_text

    jsonschema.validate(
        json.loads((built / "manifest.json").read_text()), json.loads(schema_text())
    )

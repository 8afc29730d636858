"""Plans of what OpenVINO and ONNX Runtime execute here, against the ONNX graph."""

from __future__ import annotations

import pytest

from export.onnx_graph import save_onnx
from export.plan import onnxruntime_layers, openvino_layers
from export.plan.origin import Origins
from export.plan.proof import check_precision
from runtime.errors import ExportError

MODULE = "post.stage3.0.branches.0.0.conv1"


def profile(library: str, path, runs: int = 1):
    origins = Origins.read(path)
    module = {"openvino": openvino_layers, "onnxruntime": onnxruntime_layers}[library]
    return module.profile(path, origins, runs), origins


@pytest.mark.parametrize("library", ["openvino", "onnxruntime"])
def test_fp32_plan_has_every_convolution_timed(saved, library: str) -> None:
    pytest.importorskip(library)
    plan, origins = profile(library, saved["fp32"])
    assert plan.target == "CPU"
    by_module = {k.module: k for k in plan.convolutions}
    assert len(by_module) == len(plan.convolutions) == len(origins.convolutions)
    for expected in origins.convolutions.values():
        assert by_module[expected.module].flops == expected.flops, expected.module
    assert not origins.uncovered(plan)
    assert all(kernel.seconds is not None for kernel in plan.kernels)
    assert sum(kernel.seconds for kernel in plan.kernels) > 0
    assert check_precision(plan, "fp32")["flops_by_precision"] == {"fp32": plan.flops}
    with pytest.raises(ExportError, match="int8 proof: .*160 of 160"):
        check_precision(plan, "int8")


@pytest.mark.slow
def test_openvino_int8_is_int8_and_one_convolution_without_q_is_found(
    saved, graphs, unquantised, tmp_path
) -> None:
    pytest.importorskip("openvino")
    plan, _ = profile("openvino", saved["int8-cpu"])
    assert check_precision(plan, "int8")["convolutions"] == 160
    path = tmp_path / "mixed.onnx"
    save_onnx(unquantised(graphs["int8-cpu"], MODULE), path)
    mixed, _ = profile("openvino", path)
    with pytest.raises(ExportError, match=rf"openvino made 1 of 160 .*{MODULE} \(.*: fp32\)"):
        check_precision(mixed, "int8")
    assert len(check_precision(mixed, "int8", frozenset({"post.stage3"}))["mixed"]) == 1


def test_openvino_knows_modules_without_the_onnx_graph(saved) -> None:
    pytest.importorskip("openvino")
    plan = openvino_layers.profile(saved["int8-cpu"], runs=1)
    modules = {c.module for c in Origins.read(saved["int8-cpu"]).convolutions.values()}
    assert {kernel.module for kernel in plan.convolutions} == modules


def test_onnxruntime_int8_is_reported_as_it_executes(saved) -> None:
    """It fuses Q/DQ around a convolution only where its output is quantised as well."""
    plan, origins = profile("onnxruntime", saved["int8-cpu"])
    integer = [k for k in plan.convolutions if k.precision == "int8"]
    assert {k.kind for k in integer} == {"QLinearConv"}
    assert 0 < len(integer) < len(plan.convolutions) == 160
    for kernel in integer:
        (node,) = kernel.nodes
        weight = origins.convolutions[node].weight
        assert weight in [t.shape for t in kernel.constants if t.dtype == "int8"]
    with pytest.raises(ExportError, match=r"int8 proof: onnxruntime made \d+ of 160"):
        check_precision(plan, "int8")


def test_a_graph_that_is_refused_is_named(saved, tmp_path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(saved["fp32"].read_bytes()[:1000])
    with pytest.raises(ExportError, match="cut.onnx: ONNX Runtime .* refused it"):
        onnxruntime_layers.profile(path, Origins.read(saved["fp32"]))

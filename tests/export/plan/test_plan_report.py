"""The command, on graphs and on engine folders."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from export.plan.record import Plan
from runtime.manifest import Manifest

REPORT = "export.plan_report"


def test_a_graph_compiled_for_a_gpu(saved, command, tmp_path) -> None:
    pytest.importorskip("tensorrt_rtx")
    out = tmp_path / "report.json"
    result = command(
        REPORT, saved["fp16"], "--compute-capability", "8.9", "--gpu", "rtx 4090", "--json",
        "--out", out,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    content = json.loads(out.read_text())
    assert (content["compiler"], content["target"]) == ("tensorrt-rtx", "SM89")
    assert [row["precision"] for row in content["convolutions"]] == ["fp16"]
    assert [row["gpu"] for row in content["roofline"]] == ["RTX 4090"]


@pytest.mark.parametrize("target", ["openvino", "onnxruntime"])
def test_a_graph_on_this_processor(saved, command, target: str) -> None:
    pytest.importorskip(target)
    result = command(REPORT, saved["fp32"], "--target", target)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(target)
    assert "measured: " in result.stdout
    assert not list(Path.cwd().glob("*profile*.json"))


@pytest.mark.parametrize(
    ("target", "precision"),
    [
        pytest.param("tensorrt-rtx", "fp16", marks=pytest.mark.slow),
        pytest.param("openvino", "fp32", marks=pytest.mark.slow),
        ("onnxruntime", "fp32"),
    ],
)
def test_an_engine_folder(
    small_checkpoint, command, error_line, tmp_path, floorless, target: str, precision: str
) -> None:
    pytest.importorskip(target.replace("-", "_"))
    engine = tmp_path / "engine"
    built = command(
        "export.build_engine", "--checkpoint", small_checkpoint, "--size", 64, 64,
        f"--{precision}", "--target", target, "--out", engine, *floorless,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    result = command(REPORT, engine, "--json")
    assert result.returncode == 0, result.stderr
    content = json.loads(result.stdout)
    assert content["compiler"] == target
    assert [row["precision"] for row in content["convolutions"]] == [precision]
    assert "leave --target" in error_line(REPORT, engine, "--target", "openvino")
    if target == "tensorrt-rtx":
        payload = [entry.name for entry in Manifest.read(engine).payload]
        assert payload == ["engine.plan", "plan.json"]
        assert content["kernels"] == len(Plan.read(engine / "plan.json").kernels)
        (engine / "plan.json").write_text("{}")
        assert "plan.json: holds 2 bytes" in error_line(REPORT, engine)


def test_bad_input_is_one_line(saved, error_line, tmp_path) -> None:
    graph = saved["fp32"]
    cut, empty = tmp_path / "cut.onnx", tmp_path / "empty.onnx"
    cut.write_bytes(graph.read_bytes()[:100_000])
    empty.write_bytes(b"")
    (tmp_path / "notes.txt").write_text("x")
    cases = {
        "does not exist; expected an engine folder or": (tmp_path / "none",),
        "notes.txt: is no such thing": (tmp_path / "notes.txt",),
        "no engine folder": (tmp_path,),
        "cut.onnx: not a complete ONNX file": (cut,),
        "empty.onnx: holds no graph": (empty,),
        "known are T4, A100": (graph, "--gpu", "Voodoo"),
        "--target coreml: expected tensorrt-rtx, tensorrt": (graph, "--target", "coreml"),
        "only tensorrt-rtx compiles for one": (
            graph, "--target", "openvino", "--compute-capability", "8.6",
        ),
    }  # fmt: skip
    for message, arguments in cases.items():
        assert message in error_line(REPORT, *arguments), message


def test_a_graph_without_the_deploy_inputs_is_named(saved, error_line, tmp_path) -> None:
    model = onnx.load(saved["fp32"])
    model.graph.input[0].name = "image"
    onnx.save(model, tmp_path / "other.onnx")
    line = error_line(REPORT, tmp_path / "other.onnx")
    assert "inputs are image, post, a deploy graph takes pre and post" in line


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, export.plan_report as r; r.parser().format_help(); "
        "print([n for n in ('torch', 'onnx', 'numpy', 'cv2') if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

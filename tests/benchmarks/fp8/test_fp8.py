"""What NVIDIA's compiler makes of FP8 graphs of a small network, and the table."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from benchmarks.fp8.__main__ import AMAX, compared, compiled, forms, table
from benchmarks.fp8.graphs import placed
from export.deploy import DeployOptions
from train.checkpoint import load_checkpoint

OPTIONS = DeployOptions(64, 64)


@pytest.fixture(scope="module")
def fp16(small_checkpoint: Path) -> onnx.ModelProto:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    name, model = next(forms(load_checkpoint(small_checkpoint).network(), OPTIONS))
    assert name == "fp16"
    return model


@pytest.mark.slow
def test_the_compiler_takes_fp8_convolutions_whatever_the_range(fp16) -> None:
    models = [placed(fp16, lambda _: True, amax) for amax in (AMAX, AMAX / 10)]
    rows = [compiled(model, OPTIONS, "8.9") for model in models]
    assert rows[0] == rows[1]
    assert rows[0]["convolutions"].keys() == {"fp8"}


@pytest.mark.slow
def test_weights_alone_are_multiplied_in_fp16(fp16) -> None:
    model = placed(fp16, lambda _: True, AMAX, activations=False)
    assert compiled(model, OPTIONS, "8.9")["convolutions"].keys() == {"fp16"}


@pytest.mark.slow
def test_a_gpu_without_fp8_is_told_in_the_compilers_words(fp16) -> None:
    row = compiled(placed(fp16, lambda _: True, AMAX), OPTIONS, "8.6")
    assert row.keys() == {"refused"}
    assert "fp8" in row["refused"]
    assert "\n" not in row["refused"]


def test_the_table_compares_with_fp16_of_the_same_gpu() -> None:
    def row(graph: str, capability: str, size: int) -> dict:
        return {
            "graph": graph, "compute_capability": capability, "kernels": 7, "bytes": size,
            "flops": 10**12, "activation_bytes": 2**20,
        }  # fmt: skip

    refused = {"compute_capability": "8.6", "refused": "no such type"}
    rows = [row("fp16", "8.6", 2 * 10**9), row("fp16", "8.9", 4 * 10**9), {"graph": "a"} | refused]
    rows += [row("a", "8.9", 3 * 10**9) | {"flops": 0}, {"graph": "b"} | refused]
    lines = [line.split() for line in table(compared(rows)).splitlines()[1:]]
    assert lines == [
        ["8.6", "fp16", "7", "2.000", "1.000", "1.000", "1"],
        ["8.6", "a", "no", "such", "type"],
        ["8.6", "b", "refused,", "as", "above"],
        ["8.9", "fp16", "7", "4.000", "1.000", "1.000", "1"],
        ["8.9", "a", "7", "3.000", "0.750", "-", "1"],
    ]


@pytest.mark.slow
def test_the_command_counts_every_form(small_checkpoint: Path, command) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    result = command(
        "benchmarks.fp8", "--checkpoint", small_checkpoint, "--size", 64,
        "--compute-capability", "12.0", "--json",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)["rows"]
    assert [row["graph"] for row in rows][:2] == ["fp16", "int8"]
    assert len({row["graph"] for row in rows}) == len(rows) == 10
    assert rows[0]["bytes_to_fp16"] == 1
    assert all(row["bytes"] > 0 for row in rows)
    assert sum("fp8" in row["convolutions"] for row in rows) >= 5

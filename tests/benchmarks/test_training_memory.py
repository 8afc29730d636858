"""The benchmark of a training step's memory, on a network that is small and images that are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.child import STATUS
from benchmarks.training_memory import VARIANTS
from train.config_file import load_config
from train.model import build_network

pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="memory is measured on Linux")

SMALL = """
model: {width: 4, stem_width: 32, bottlenecks: 2, modules: [1, 1, 1], blocks: 1, projection: 64,
  head_widths: [32, 16]}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


@pytest.mark.slow
def test_recomputation_and_bf16_lower_the_peak(python: Callable, config: Path) -> None:
    result = python(
        *("-m", "benchmarks.training_memory", "--config", config),
        *("--size", 256, "--batch", 2, "--json"),
    )
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert (record["config"], record["size"], record["batch"]) == ("small", 256, 2)
    found = {each["variant"]: each for each in record["variants"]}
    assert list(found) == list(VARIANTS)
    assert found["recompute"]["peak_bytes"] < found["plain"]["peak_bytes"]
    assert found["bf16"]["peak_bytes"] < found["plain"]["peak_bytes"]
    assert found["bf16+recompute"]["peak_bytes"] < found["bf16"]["peak_bytes"]
    assert found["recompute"]["ratio"] == pytest.approx(
        found["recompute"]["peak_bytes"] / found["plain"]["peak_bytes"]
    )
    assert min(each["seconds"] for each in found.values()) > 0


def test_state_is_four_floats_a_parameter(python: Callable, config: Path) -> None:
    result = python(
        *("-m", "benchmarks.training_memory", "--config", config),
        *("--size", 64, "--variant", "plain", "--json"),
    )
    (found,) = json.loads(result.stdout)["variants"]
    network = build_network(load_config(config).model)
    tensors = sum(1 for _ in network.parameters())
    # Value, gradient and two moments; and one counter a tensor.
    expected = 4 * 4 * sum(p.numel() for p in network.parameters()) + 4 * tensors
    assert found["state_bytes"] == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--size", 100), "--size 100 --batch 1: expected a positive multiple of 32"),
        (("--batch", 0), "--size 512 --batch 0: expected"),
        (("--config", "none.yaml"), "plain: none.yaml: no such config"),
    ],
)
def test_wrong_arguments_are_one_line(error_line: Callable, arguments: tuple, message: str) -> None:
    assert message in error_line("benchmarks.training_memory", *arguments)

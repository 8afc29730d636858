"""The benchmark of observing runs, and its figures fit together. How fast is not tested."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from benchmarks.calibration_cost import METHODS as OFFERED
from benchmarks.child import STATUS
from calibration.observers import METHODS

TINY = ("--width", 4, "--size", 32, "--method", "percentile")


@pytest.mark.skipif(not STATUS.exists(), reason="memory is measured on Linux")
@pytest.mark.slow
def test_figures_of_a_tiny_network(python: Callable) -> None:
    result = python(
        "-m", "benchmarks.calibration_cost", *TINY, "--tiles", 3, "--memory-tiles", 1, "--json"
    )
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert (record["width"], record["size"], record["tiles"]) == (4, 32, 3)
    (timing,) = record["time"]
    assert timing["method"] == "percentile"
    assert min(timing["forward"], timing["observe"], timing["settle"]) > 0
    expected = (3 * timing["observe"] + timing["settle"]) / (3 * timing["forward"])
    assert timing["ratio"] == pytest.approx(expected)
    (memory,) = record["memory"]
    assert (memory["method"], memory["tiles"]) == ("percentile", 1)
    assert memory["above_bytes"] == memory["peak_bytes"] - memory["forward_bytes"]
    # A process with PyTorch in it.
    assert memory["forward_bytes"] > 50 * 2**20


def test_memory_can_be_left_out_and_a_table_comes_beside_the_json(python: Callable) -> None:
    result = python(
        "-m", "benchmarks.calibration_cost", *TINY, "--tiles", 1, "--memory-tiles"
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["memory"] is None
    assert "percentile" in result.stderr


def test_every_method_is_measured() -> None:
    assert set(OFFERED) == set(METHODS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--size", 100), "--size 100: expected a positive multiple of 32"),
        (("--tiles", 0), "--tiles and --memory-tiles: expected 1 or more"),
        (("--memory-tiles", 8, 0), "--tiles and --memory-tiles: expected 1 or more"),
    ],
)
def test_wrong_arguments_are_one_line(error_line: Callable, arguments: tuple, message: str) -> None:
    assert message in error_line("benchmarks.calibration_cost", *arguments)

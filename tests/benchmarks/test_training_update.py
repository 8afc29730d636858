"""The benchmark of a step's update and of a save, on a small network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

SMALL = "model: {width: 8, stem_width: 8, bottlenecks: 1, modules: [1, 1, 1], blocks: 1}"


@pytest.mark.slow
def test_every_part_is_measured_both_ways(command: Callable, tmp_path: Path) -> None:
    config = tmp_path / "small.yaml"
    config.write_text(SMALL)
    result = command("benchmarks.training_update", "--config", config, "--rounds", 2, "--json")
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["config"] == "small"
    found = {each["what"]: each for each in record["comparisons"]}
    assert list(found) == ["Adam step", "average", "save"]
    assert all(each["before"] > 0 and each["after"] > 0 for each in found.values())
    # To copy is less than to check, to serialise and to write.
    assert found["save"]["ratio"] < 1


def test_no_round_is_no_measurement(error_line: Callable) -> None:
    assert "expected at least 1" in error_line("benchmarks.training_update", "--rounds", "0")


@pytest.mark.slow
def test_at_full_size_nothing_is_slower(command: Callable) -> None:
    result = command("benchmarks.training_update", "--rounds", 3, "--json")
    assert result.returncode == 0, result.stderr
    for each in json.loads(result.stdout)["comparisons"]:
        assert each["ratio"] < 1.1, each

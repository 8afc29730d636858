"""Engines against PyTorch: turns, ratios, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.against_pytorch import ALONE, END_TO_END, figures, table, take_turns
from benchmarks.rewrites import table as rewrites_table
from benchmarks.rewrites import variants
from export.rewrites import REWRITES


def test_calls_take_turns_and_the_first_round_is_unseen() -> None:
    order: list[str] = []
    calls = {name: lambda n=name: order.append(n) for name in "ab"}
    seconds = take_turns(calls, 3, pause=0)
    assert order == list("ab" * 4)
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3}


def test_ratios_are_of_medians() -> None:
    rows = figures({END_TO_END: [4.0, 6.0, 5.0], ALONE: [4.0], "engine": [2.0, 1.0, 9.0]})
    assert [row["median_s"] for row in rows] == [5.0, 4.0, 2.0]
    assert rows[2]["faster_end_to_end"] == 2.5
    assert rows[2]["faster_alone"] == 2.0
    assert "2.50" in table(rows).splitlines()[-1]


def test_every_rewrite_is_added_and_left_out() -> None:
    found = variants()
    assert found["plain"] == ()
    assert found[f"+ {list(REWRITES)[-1]}"] == tuple(REWRITES)
    for name in list(REWRITES)[:-1]:
        assert set(found[f"all but {name}"]) == set(REWRITES) - {name}
    row = {"variant": "plain", "kernels": 7, "bytes": 2_000_000_000, "flops": 10**12}
    assert rewrites_table([row]).splitlines()[1].split() == ["plain", "7", "2.000", "1.000", "-"]


@pytest.fixture
def engine(command: Callable, tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint of random weights, and an engine of it."""
    checkpoint = tmp_path / "random.pt"
    result = command("benchmarks.plausible", "--width", 4, "--out", checkpoint)
    assert result.returncode == 0, result.stderr
    result = command(
        "export.build_engine", "--checkpoint", checkpoint, "--size", 64, 64, "--fp32",
        "--target", "onnxruntime", "--parity-pairs", 1, "--out", tmp_path / "engine",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return checkpoint, tmp_path / "engine"


def test_the_command_compares_an_engine_of_the_same_weights(
    engine: tuple[Path, Path], small_checkpoint: Path, command: Callable, error_line: Callable
) -> None:
    checkpoint, folder = engine
    line = ("benchmarks.against_pytorch", "--engine", folder, "--rounds", 1)
    result = command(*line, "--checkpoint", checkpoint, "--json")
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert [row["what"] for row in record["figures"]] == [END_TO_END, ALONE, "engine"]
    assert "built from another checkpoint" in error_line(*line, "--checkpoint", small_checkpoint)

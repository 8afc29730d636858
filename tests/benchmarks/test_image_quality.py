"""The benchmark of the quality layer, on two drawn tiles."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest


def test_figures_of_drawn_tiles(synthetic: Path, command: Callable) -> None:
    result = command("benchmarks.image_quality", "--data", synthetic, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert {tile["tile"] for tile in found["tiles"]} >= {found["tiles"][0]["tile"]}
    assert all(0 <= row["recall"] <= 1 and 0 <= row["precision"] <= 1 for row in found["planted"])
    (white,) = (row for row in found["planted"] if row["kind"] == "saturated")
    assert white["recall"] > 0.5


@pytest.mark.parametrize("folder", ["", "train"])
def test_a_folder_without_tiles_is_one_line(tmp_path: Path, command: Callable, folder: str) -> None:
    result = command("benchmarks.image_quality", "--data", tmp_path / folder)
    assert result.returncode == 2
    assert "expected xBD's layout" in result.stderr
    assert "Traceback" not in result.stderr

"""The command: every method, and a start that loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from calibration.__main__ import parser
from calibration.observers import METHODS
from train.quantisation.artefact import read_artefact


def test_every_method_of_the_observers_is_offered() -> None:
    (action,) = [a for a in parser()._actions if a.dest == "method"]
    assert set(action.choices) == set(METHODS)


@pytest.mark.parametrize("method", ["percentile", "mse"])
def test_the_artefact_names_its_method(
    small_checkpoint: Path, synthetic: Path, tmp_path: Path, command: Callable, method: str
) -> None:
    out = tmp_path / "calibration.json"
    result = command(
        "calibration", "--checkpoint", small_checkpoint, "--data", synthetic, "--out", out,
        "--tiles", "2", "--method", method,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    artefact = read_artefact(out)
    assert artefact.method == method
    assert len(artefact.tiles) == 2


def test_help_imports_no_torch(command: Callable) -> None:
    result = command("calibration", "--help")
    assert result.returncode == 0
    assert "percentile" in result.stdout
    code = "import sys, calibration.__main__ as c; c.parser(); sys.exit('torch' in sys.modules)"
    line = [sys.executable, "-c", code]
    assert subprocess.run(line, cwd=Path(__file__).parents[2]).returncode == 0

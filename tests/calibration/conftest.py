from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from calibration.artefact import Artefact, read_artefact


@pytest.fixture(scope="session")
def calibration_file(
    tmp_path_factory: pytest.TempPathFactory,
    small_checkpoint: Path,
    synthetic: Path,
    command: Callable,
) -> Path:
    """calibration.json of the small checkpoint, made by the command."""
    out = tmp_path_factory.mktemp("calibration") / "calibration.json"
    result = command(
        "calibration", "--checkpoint", small_checkpoint, "--data", synthetic, "--out", out,
        "--tiles", "4",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return out


@pytest.fixture
def artefact(calibration_file: Path) -> Artefact:
    return read_artefact(calibration_file)

"""An engine that the command built, for what the documentation says of engines."""

from collections.abc import Callable
from pathlib import Path

import pytest

SIDE = 64


@pytest.fixture(scope="session")
def built_engine(
    small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory, command: Callable
) -> Path:
    """Of 64x64, on ONNX Runtime; treat it as read-only."""
    out = tmp_path_factory.mktemp("engine") / "my-engine"
    result = command(
        "export.build_engine", "--fp32", "--target", "onnxruntime", "--size", SIDE, SIDE,
        "--checkpoint", small_checkpoint, "--out", out, "--gsd", 0.3, 0.8,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return out

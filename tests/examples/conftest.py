"""A small engine and pairs of pictures for the examples, and PyTorch's own maps of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from train.checkpoint import load_checkpoint
from train.inference import predict_maps
from train.synthetic.scene import make_scene

REPOSITORY = Path(__file__).parents[2]
SIDE = 64


@pytest.fixture(scope="session")
def engine_folder(small_checkpoint: Path, tmp_path_factory, command: Callable) -> Path:
    out = tmp_path_factory.mktemp("examples") / "engine"
    result = command(
        "export.build_engine", "--checkpoint", small_checkpoint, "--size", SIDE, SIDE, "--fp32",
        "--target", "onnxruntime", "--out", out,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return out


@pytest.fixture(scope="session")
def towns(tmp_path_factory) -> dict[str, tuple[Path, Path, np.ndarray, np.ndarray]]:
    """Two pairs of pictures by name: their files and pixels, larger than the engine."""
    folder, found = tmp_path_factory.mktemp("towns"), {}
    for index, name in enumerate(("first", "second")):
        scene = make_scene(3, index, 96)
        files = folder / f"{name}_pre.png", folder / f"{name}_post.png"
        for file, image in zip(files, (scene.pre, scene.post), strict=True):
            Image.fromarray(image).save(file)
        found[name] = (*files, scene.pre, scene.post)
    return found


@pytest.fixture(scope="session")
def damage_of(small_checkpoint: Path) -> Callable[..., np.ndarray]:
    """By PyTorch, of the corner that an engine takes."""
    network = load_checkpoint(small_checkpoint).network()

    def maps(pre: np.ndarray, post: np.ndarray) -> np.ndarray:
        corner = np.s_[:SIDE, :SIDE]
        return predict_maps(network, pre[corner], post[corner])[0]

    return maps


@pytest.fixture
def example() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run an example as a user would, with this tree's packages."""

    def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, f"examples/{name}.py", *map(str, arguments)]
        environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        return subprocess.run(
            line, cwd=REPOSITORY, env=environ, capture_output=True, text=True, timeout=120
        )

    return run

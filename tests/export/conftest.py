from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.deploy import DeployOptions, deploy_graph
from export.onnx_graph import export_onnx
from train.checkpoint import load_checkpoint
from train.synthetic.scene import make_scene

SIDE = 64


@pytest.fixture(scope="session")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """A real-looking 64x64 pair."""
    scene = make_scene(3, 1, SIDE)
    return scene.pre, scene.post


@pytest.fixture(scope="session")
def fp32_onnx(small_checkpoint: Path):
    """The small network's FP32 deploy graph at 64x64."""
    options = DeployOptions(height=SIDE, width=SIDE)
    network = load_checkpoint(small_checkpoint).network()
    return export_onnx(deploy_graph(network, options), options)

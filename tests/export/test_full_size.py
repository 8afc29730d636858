"""The full-size networks at 1024x1024, through every step, with time and peak memory.

Run with `pytest -m slow tests/export/test_full_size.py -s`; each step prints a line.
Weights are random but plausible: batch norms have seen data, so activations keep scale.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.manifest import Manifest
from train.checkpoint import Checkpoint, save_checkpoint
from train.model import ModelConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

GIB = 2**30
NETWORKS = {
    "native-w48": (ModelConfig(width=48), 0),
    "si-analytics-w32": (ModelConfig(width=32, architecture="si-analytics"), 2),
}
"""With a seed whose labels vary on the scene that parity is measured on."""


def _run(what: str, *arguments: object) -> float:
    """Run a command; print its wall time and return its peak memory in GiB."""
    start = time.monotonic()
    line = [sys.executable, "-m", *map(str, arguments)]
    pid = os.spawnv(os.P_NOWAIT, sys.executable, line)
    _, status, usage = os.wait4(pid, 0)
    peak = usage.ru_maxrss * 1024 / GIB
    print(f"\n{what}: {time.monotonic() - start:.0f} s, peak {peak:.2f} GiB", flush=True)
    assert os.waitstatus_to_exitcode(status) == 0, line
    return peak


@pytest.fixture(scope="module", params=NETWORKS)
def checkpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, plausible: Callable
) -> Path:
    path = tmp_path_factory.mktemp(request.param) / f"{request.param}.pt"
    network = plausible(*NETWORKS[request.param])
    save_checkpoint(path, Checkpoint(model=network.config, model_state=network.state_dict()))
    return path


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "scenes"
    _run("two tiles", "train.synthesize", "--out", out, "--tiles", 2, "--size", 1024)
    return out


def test_to_onnx(checkpoint: Path, tmp_path: Path) -> None:
    peak = _run(
        f"{checkpoint.stem} to_onnx", "export.to_onnx", "--checkpoint", checkpoint,
        "--out", tmp_path / "model.onnx",
    )  # fmt: skip
    assert peak < 8


def test_openvino_fp32(checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    _run(
        f"{checkpoint.stem} openvino fp32", "export.build_engine", "--checkpoint", checkpoint,
        "--fp32", "--target", "openvino", "--parity-pairs", 1, "--out", tmp_path / "engine",
    )  # fmt: skip
    parity = Manifest.read(tmp_path / "engine").verification["parity"]
    classes = ", ".join(parity["class_f1"])
    print(f"{checkpoint.stem} label agreement {parity['label_agreement']:.4%} over {classes}")
    assert parity["label_agreement"] >= 0.9999
    assert len(parity["class_f1"]) >= 3


@pytest.mark.parametrize("capability", ["7.5", "8.6", "8.9", "12.0"])
def test_tensorrt_rtx_fp16(
    checkpoint: Path, tmp_path: Path, floorless: tuple, capability: str
) -> None:
    pytest.importorskip("tensorrt_rtx")
    _run(
        f"{checkpoint.stem} tensorrt-rtx fp16 for {capability}", "export.build_engine",
        "--checkpoint", checkpoint, "--fp16", "--target", "tensorrt-rtx",
        "--compute-capability", capability, "--parity-pairs", 1, *floorless,
        "--out", tmp_path / "engine",
    )  # fmt: skip
    manifest = Manifest.read(tmp_path / "engine")
    print(f"{checkpoint.stem} label agreement {manifest.verification['parity']['label_agreement']}")
    assert manifest.target.compute_capability == capability


def test_int8_is_accepted_by_tensorrt_rtx(
    checkpoint: Path, scenes: Path, tmp_path: Path, floorless: tuple
) -> None:
    pytest.importorskip("tensorrt_rtx")
    ranges = tmp_path / "calibration.json"
    _run(
        f"{checkpoint.stem} calibration on 2 tiles", "calibration", "--checkpoint", checkpoint,
        "--data", scenes, "--tiles", 2, "--out", ranges,
    )  # fmt: skip
    _run(
        f"{checkpoint.stem} tensorrt-rtx int8 for 8.6", "export.build_engine",
        "--checkpoint", checkpoint, "--int8", "--calibration", ranges,
        "--target", "tensorrt-rtx", "--compute-capability", "8.6", "--parity-pairs", 1, *floorless,
        "--out", tmp_path / "engine",
    )  # fmt: skip
    assert Manifest.read(tmp_path / "engine").precision == "int8"

"""Training itself: it learns, it checks, it runs under torchrun, it keeps what it has."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from train.checkpoint import load_checkpoint
from train.evaluate import score_tiles
from train.xbd import find_tiles

REPOSITORY = Path(__file__).parents[2]
OVERRIDES = (
    "model.width=8", "model.stem_width=8", "model.blocks=1", "model.projection=16",
    "model.head_widths=[16,8]", "data.crop=64", "optim.batch_size=2", "optim.epochs=2",
    "optim.warmup_epochs=0", "data.building_crops=1.0",
)  # fmt: skip


def _arguments(data: Path, out: Path, *more: str) -> list[object]:
    config = REPOSITORY / "train" / "configs" / "demo.yaml"
    return ["--config", config, "--data", data, "--out", out, *OVERRIDES, *more]


@pytest.fixture(scope="module")
def trained(synthetic: Path, tmp_path_factory: pytest.TempPathFactory, command: Callable) -> Path:
    out = tmp_path_factory.mktemp("run")
    result = command("train", *_arguments(synthetic, out))
    assert result.returncode == 0, result.stderr
    return out


def test_a_run_leaves_checkpoints_and_curves(trained: Path) -> None:
    last = load_checkpoint(trained / "last.pt")
    assert (last.epoch, last.step) == (2, 8)
    assert set(last.optimizer_state) == {"state", "param_groups"}
    assert last.config["optim"]["epochs"] == 2
    events = EventAccumulator(str(trained / "tensorboard"))
    events.Reload()
    wanted = {"loss/loss", "optim/learning_rate", "optim/gradient_norm", "val/score"}
    assert wanted <= set(events.Tags()["scalars"])
    assert len(events.Scalars("loss/loss")) == 8
    assert not list(trained.rglob("*.partial*"))


def test_the_stored_score_is_that_of_the_stored_weights(trained: Path, synthetic: Path) -> None:
    best = load_checkpoint(trained / "best.pt")
    counts = score_tiles(best.network(), find_tiles(synthetic, "test"))
    assert counts.as_dict() == best.metrics


def test_a_folder_that_holds_a_run_is_not_overwritten(trained, synthetic, error_line) -> None:
    before = (trained / "last.pt").stat().st_mtime_ns
    assert "holds a run already" in error_line("train", *_arguments(synthetic, trained))
    assert (trained / "last.pt").stat().st_mtime_ns == before


def test_training_is_reproducible(trained: Path, synthetic: Path, tmp_path: Path, command) -> None:
    result = command("train", *_arguments(synthetic, tmp_path))
    assert result.returncode == 0, result.stderr
    first, second = (load_checkpoint(p / "last.pt").model_state for p in (trained, tmp_path))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_two_processes_train_and_score_the_whole_split(synthetic: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = ["-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}"]
    line = [sys.executable, *launch, "-m", "train", *_arguments(synthetic, tmp_path)]
    result = subprocess.run(
        [str(part) for part in line], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert result.returncode == 0, result.stderr
    last = load_checkpoint(tmp_path / "last.pt")
    assert last.step == 4  # eight tiles: two steps of 2 x 2 an epoch
    counts = score_tiles(last.network(), find_tiles(synthetic, "test"))
    assert counts.as_dict() == last.metrics


def test_learning_on_few_tiles_finds_buildings(synthetic: Path, tmp_path: Path, command) -> None:
    more = ("optim.epochs=20", "optim.learning_rate=0.01", "data.val_split=train")
    result = command("train", *_arguments(synthetic, tmp_path, *more))
    assert result.returncode == 0, result.stderr
    assert load_checkpoint(tmp_path / "best.pt").metrics["localization_f1"] > 0.3


def test_a_gpu_that_is_absent_is_an_error(synthetic: Path, tmp_path: Path, error_line) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    line = error_line("train", *_arguments(synthetic, tmp_path / "run"), "--device", "cuda")
    assert "PyTorch sees no GPU here" in line


def test_a_diverging_loss_stops_and_keeps_the_checkpoint(
    synthetic: Path, tmp_path: Path, error_line: Callable
) -> None:
    more = ("optim.learning_rate=1e30", "optim.min_learning_rate=1e30", "optim.epochs=4")
    line = error_line("train", *_arguments(synthetic, tmp_path / "run", *more))
    assert "the loss is nan" in line or "the loss is inf" in line

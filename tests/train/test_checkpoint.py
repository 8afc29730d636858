"""Checkpoints: round trip, safety, and every way one can be wrong."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from runtime.errors import CheckpointError
from train.checkpoint import Checkpoint, load_checkpoint, newest_checkpoint, save_checkpoint
from train.model import ModelConfig

REPOSITORY = Path(__file__).parents[2]


def test_round_trip_keeps_everything(small_checkpoint: Path, tmp_path: Path) -> None:
    first = load_checkpoint(small_checkpoint)
    first.epoch, first.step, first.metrics = 3, 40, {"score": 0.5}
    path = tmp_path / "again.pt"
    save_checkpoint(path, first)
    second = load_checkpoint(path)
    assert (second.model, second.epoch, second.step) == (first.model, 3, 40)
    assert second.metrics == {"score": 0.5}
    for name, tensor in first.model_state.items():
        assert torch.equal(tensor, second.model_state[name])
    assert not second.network().training


class _Trap:
    def __reduce__(self) -> tuple:
        return (os.mkdir, ("trap-was-sprung",))


def test_a_checkpoint_cannot_execute_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"format": _Trap(), "model_state": {}}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match="evil.pt"):
        load_checkpoint(tmp_path / "evil.pt")
    assert not (tmp_path / "trap-was-sprung").exists()


def test_truncated_garbled_and_missing_files(small_checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.pt"
    for content in (small_checkpoint.read_bytes()[:-1000], b"not a checkpoint", b""):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="not a readable checkpoint"):
            load_checkpoint(path)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "none.pt")


def test_foreign_and_newer_checkpoints(small_checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "foreign.pt"
    torch.save({"state_dict": {"conv.weight": torch.zeros(1)}}, path)
    with pytest.raises(CheckpointError, match="train.import_weights"):
        load_checkpoint(path)
    content = torch.load(small_checkpoint, weights_only=True)
    torch.save({**content, "format": "dual-hrnet-edge/9"}, path)
    with pytest.raises(CheckpointError, match="format 'dual-hrnet-edge/9', expected"):
        load_checkpoint(path)


def test_weights_of_another_architecture_are_named(small_checkpoint: Path, tmp_path: Path) -> None:
    loaded = load_checkpoint(small_checkpoint)
    wider = loaded.model.model_copy(update={"width": 16})
    path = tmp_path / "wider.pt"
    save_checkpoint(path, Checkpoint(model=wider, model_state=loaded.model_state))
    with pytest.raises(CheckpointError, match=r"weights of another architecture: \d+ tensors"):
        load_checkpoint(path).network()


def test_every_command_refuses_another_architecture_in_one_line(
    small_checkpoint: Path, tmp_path: Path, synthetic: Path, error_line: Callable
) -> None:
    loaded = load_checkpoint(small_checkpoint)
    other = ModelConfig(**{**loaded.model.model_dump(), "exchange_stages": (4,)})
    path = tmp_path / "other.pt"
    save_checkpoint(path, Checkpoint(model=other, model_state=loaded.model_state))
    out = tmp_path / "out"
    wanted = "weights of another architecture"
    assert wanted in error_line("train.evaluate", "--checkpoint", path, "--data", synthetic)
    assert wanted in error_line("export.to_onnx", "--checkpoint", path, "--out", out)
    assert not out.exists()


def test_newest_checkpoint_is_the_best_of_the_latest_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        newest_checkpoint(tmp_path)
    now = time.time()
    for age, name in enumerate(("new/last.pt", "new/best.pt", "old/best.pt")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (now - age, now - age))
    assert newest_checkpoint(tmp_path) == tmp_path / "new" / "best.pt"


KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
import torch
from train.checkpoint import load_checkpoint, save_checkpoint

path = Path(sys.argv[1])
whole = load_checkpoint(path)
write = torch.save

def cut_off(content, file):
    write(content, file)
    os.truncate(file, Path(file).stat().st_size // 2)
    os.kill(os.getpid(), signal.SIGKILL)

torch.save = cut_off
whole.step = 99
save_checkpoint(path, whole)
"""


def test_a_process_killed_while_it_writes_leaves_the_previous_checkpoint(
    small_checkpoint: Path, tmp_path: Path
) -> None:
    path = tmp_path / "last.pt"
    shutil.copy(small_checkpoint, path)
    line = [sys.executable, "-c", KILLED_WHILE_WRITING, str(path)]
    result = subprocess.run(line, cwd=REPOSITORY)
    assert result.returncode == -signal.SIGKILL
    assert list(tmp_path.glob(".last.*.partial.pt"))  # it was in the middle of it
    assert path.read_bytes() == small_checkpoint.read_bytes()
    assert load_checkpoint(path).step == 0


def test_a_full_disk_leaves_the_previous_checkpoint(small_checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    shutil.copy(small_checkpoint, path)
    # Files of this process may not grow beyond 4 KiB, which writes meet like a full disk.
    code = (
        "import resource, signal, sys; from pathlib import Path;"
        "from train.checkpoint import load_checkpoint, save_checkpoint;"
        "path = Path(sys.argv[1]); whole = load_checkpoint(path);"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        "save_checkpoint(path, whole)"
    )
    line = [sys.executable, "-c", code, str(path)]
    result = subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode != 0
    assert "CheckpointError" in result.stderr
    assert "last.pt: cannot be written" in result.stderr
    assert path.read_bytes() == small_checkpoint.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_a_weight_without_a_name_is_refused(small_checkpoint: Path, tmp_path: Path) -> None:
    content = torch.load(small_checkpoint, weights_only=True)
    content["model_state"][5] = torch.zeros(1)
    torch.save(content, tmp_path / "altered.pt")
    with pytest.raises(CheckpointError, match="altered.pt: 5 is a key of type int"):
        load_checkpoint(tmp_path / "altered.pt")


@pytest.mark.parametrize(
    "fields", [{"width": 10**9}, {"modules": (10**6, 1, 1)}, {"blocks": 10**7}]
)
def test_a_network_beyond_all_use_is_refused(small_checkpoint, tmp_path, fields) -> None:
    content = torch.load(small_checkpoint, weights_only=True)
    content["model"].update(fields)
    torch.save(content, tmp_path / "altered.pt")
    with pytest.raises(CheckpointError, match=f"altered.pt: {next(iter(fields))}.*less than or"):
        load_checkpoint(tmp_path / "altered.pt")

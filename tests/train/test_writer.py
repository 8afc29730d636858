"""Checkpoints written beside the training: what they hold, in what order, and what goes wrong."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
import torch.multiprocessing

from runtime.errors import CheckpointError, ToolkitError
from train.checkpoint import load_checkpoint
from train.config import TrainConfig
from train.data_summary import DataSummary, SplitSummary
from train.distributed import World, world
from train.interrupt import Interrupt
from train.learner import Learner
from train.model import build_network
from train.resume import Progress
from train.run import Run
from train.writer import BackgroundWriter, background_writer, snapshot

REPOSITORY = Path(__file__).parents[2]
ALONE = World(0, 1, torch.device("cpu"))


def _run(out: Path, writer: BackgroundWriter, small_config) -> Run:
    """One that saves, and does nothing else."""
    model = small_config.model_dump()
    config = TrainConfig.model_validate({"model": model, "optim": {"ema": 0.5}})
    learner = Learner(build_network(config.model, 0), config, ALONE)
    split = SplitSummary(split="s", disasters={"a": 1}, sizes=((64, 64),), pixels={})
    return Run(
        config, ALONE, out, learner, None, None, "tiles", DataSummary(train=split, val=split),
        [], [], None, Progress(), None, Interrupt(), None, writer,
    )  # fmt: skip


def _batch() -> dict:
    random = torch.Generator().manual_seed(0)
    images = {n: torch.randint(0, 256, (2, 64, 64, 3), generator=random) for n in ("pre", "post")}
    damage = torch.randint(0, 5, (2, 64, 64), generator=random)
    tensors = {**images, "damage": damage, "building": damage > 0}
    return {n: each.to(torch.uint8) for n, each in tensors.items()} | {"name": ["a", "b"]}


def test_what_is_written_is_what_was_there_at_the_save(tmp_path, small_config) -> None:
    held = threading.Event()
    with background_writer() as writer:
        run = _run(tmp_path, writer, small_config)
        run.learner.step([_batch()], 0.01)
        run.progress.step = 1
        wanted = {
            "deployed": snapshot(run.learner.deployed.state_dict()),
            "network": snapshot(run.learner.network.state_dict()),
            "moment": run.learner.optimizer.state_dict()["state"][0]["exp_avg"].clone(),
        }
        writer.submit(lambda: held.wait() and None)  # the save waits behind it
        run.save_last()
        for _ in range(3):
            run.learner.step([_batch()], 0.01)
            run.progress.step += 1
        assert not (tmp_path / "last.pt").exists()
        held.set()
    found = load_checkpoint(tmp_path / "last.pt")
    assert found.step == 1
    moving = run.learner.deployed.state_dict()
    for name, value in wanted["deployed"].items():
        assert torch.equal(found.model_state[name], value)
        assert torch.equal(found.resume["learner"]["network"][name], wanted["network"][name])
    assert any(not torch.equal(moving[name], value) for name, value in wanted["deployed"].items())
    assert torch.equal(found.optimizer_state["state"][0]["exp_avg"], wanted["moment"])


def test_a_snapshot_shares_no_memory() -> None:
    content = {"a": [torch.zeros(3), {"b": (torch.ones(2), 5, "x")}], "none": None}
    copy = snapshot(content)
    content["a"][0].fill_(7)
    content["a"][1]["b"][0].fill_(7)
    assert copy["a"][0].tolist() == [0, 0, 0]
    assert copy["a"][1]["b"][0].tolist() == [1, 1]
    assert copy["a"][1]["b"][1:] == (5, "x")
    assert copy["none"] is None


def test_jobs_are_done_in_order_and_none_after_one_that_failed() -> None:
    done = []

    def fail() -> None:
        raise OSError(28, "No space left on device", "best.pt")

    writer = BackgroundWriter()
    writer.submit(lambda: done.append("first"))
    writer.submit(fail)
    with contextlib.suppress(OSError):  # which comes at the latest when the queue is full
        for _ in range(3):
            writer.submit(lambda: done.append("last.pt"))
    assert done == ["first"]
    for again in (writer.check, writer.drain, lambda: writer.submit(done.clear)):
        with pytest.raises(OSError, match="No space left"):
            again()


def test_an_error_at_the_very_end_is_not_lost() -> None:
    def fail() -> None:
        raise CheckpointError("last.pt: cannot be written")

    with pytest.raises(CheckpointError, match="cannot be written"), background_writer() as writer:
        writer.submit(fail)


def test_what_waits_is_written_when_the_run_fails(capfd) -> None:
    done = []

    def fail() -> None:
        raise CheckpointError("last.pt: cannot be written")

    def train() -> None:
        with background_writer() as writer:
            writer.submit(lambda: done.append("saved"))
            writer.submit(fail)
            raise ToolkitError("the loss is nan")

    with pytest.raises(ToolkitError, match="the loss is nan"):
        train()
    assert done == ["saved"]
    assert "besides, a save failed: last.pt: cannot be written" in capfd.readouterr().err


def test_no_more_than_two_copies_of_the_weights_wait() -> None:
    held, begun = threading.Event(), threading.Event()
    writer = BackgroundWriter()
    for _ in range(2):
        writer.submit(lambda: held.wait() and None)

    def third() -> None:
        begun.set()
        writer.submit(lambda: None)

    thread = threading.Thread(target=third)
    thread.start()
    assert begun.wait(5)
    thread.join(0.2)
    assert thread.is_alive()
    held.set()
    thread.join(5)
    assert not thread.is_alive()
    writer.drain()


def _fail_in_background(rank: int, port: int, out: str) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }  # fmt: skip
    torch.set_num_threads(1)

    def fail() -> None:
        raise CheckpointError("last.pt: cannot be written")

    try:
        with world("cpu") as group, background_writer() as writer:
            if group.leads:
                writer.submit(fail)
            writer.drain()
            group.any(False)
    except ToolkitError as error:
        (Path(out) / f"{rank}.txt").write_text(str(error))


def test_a_save_that_fails_ends_every_rank_with_its_message(tmp_path, free_port) -> None:
    # As torchrun's agent does: the store with the message outlives the rank that left it.
    store = torch.distributed.TCPStore("127.0.0.1", free_port, None, True, wait_for_workers=False)
    torch.multiprocessing.spawn(_fail_in_background, (store.port, str(tmp_path)), nprocs=2)
    message = "last.pt: cannot be written"
    assert (tmp_path / "0.txt").read_text() == message
    assert (tmp_path / "1.txt").read_text() == f"stopped, because rank 0 failed: {message}"


FULL = """
import resource, signal, sys
from runtime import cli
from train.__main__ import main, parser
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))  # writes meet it like a full disk
cli.run(parser(), main)
"""


def test_a_full_disk_ends_a_run_with_one_line(synthetic: Path, tmp_path: Path) -> None:
    line = [
        sys.executable, "-c", FULL, "--config", "demo", "--data", synthetic, "--out", tmp_path,
        "data.crop=64", "optim.batch_size=2", "optim.save_every=1", "model.width=8",
        "model.stem_width=8", "model.blocks=1", "model.projection=16", "model.head_widths=[16,8]",
        "schedule=[{epochs: 3, rate: 0.001}]",
    ]  # fmt: skip
    result = subprocess.run(map(str, line), capture_output=True, text=True, cwd=REPOSITORY)
    assert result.returncode == 1
    (error,) = [said for said in result.stderr.splitlines() if said.startswith("error: ")]
    assert "last.pt: cannot be written" in error
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("*.pt"))
    assert not list(tmp_path.glob(".*.partial*"))

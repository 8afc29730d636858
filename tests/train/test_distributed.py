"""Ranks that act as one: they add up, they agree, and they end together."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing

from runtime.errors import ConfigError, DataError, ToolkitError
from train import distributed
from train.distributed import WATCHER, World, pick_device, world


def _join(rank: int, port: int, size: int) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    torch.set_num_threads(1)


def _agree(rank: int, port: int, out: str) -> None:
    _join(rank, port, 3)
    with world("cpu") as group:
        weights = torch.full((2,), float(rank))
        strided = torch.full((2, 3, 4, 5), float(rank)).contiguous(
            memory_format=torch.channels_last
        )
        group.share([weights, strided])
        found = {
            "sum": group.sum(np.array([rank, 2**40])).tolist(),
            "any": [group.any(rank == 2), group.any(False)],
            "gather": group.gather(f"rank {rank}"),
            "share": weights.tolist(),
            "strided": strided.abs().sum().item(),
            "leads": group.leads,
        }
        torch.save(found, Path(out) / f"{rank}.pt")


def test_three_ranks_add_up_agree_and_share(tmp_path: Path, free_port: int) -> None:
    torch.multiprocessing.spawn(_agree, (free_port, str(tmp_path)), nprocs=3)
    for rank in range(3):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found["sum"] == [3, 3 * 2**40]
        assert found["any"] == [True, False]
        assert found["gather"] == ["rank 0", "rank 1", "rank 2"]
        assert found["share"] == [0.0, 0.0]
        assert found["strided"] == 0
        assert found["leads"] == (rank == 0)


def _fail_on_one(rank: int, port: int, out: str) -> None:
    _join(rank, port, 2)
    start = time.monotonic()
    try:
        with world("cpu") as group:
            group.any(False)
            if rank == 1:
                raise DataError("tile x: is gone; restore it")
            group.any(False)  # never answered
            time.sleep(60)
    except ToolkitError as error:
        (Path(out) / f"{rank}.txt").write_text(f"{time.monotonic() - start:.1f} {error}")


def test_a_failure_on_one_rank_ends_the_other_with_its_message(
    tmp_path: Path, free_port: int
) -> None:
    torch.multiprocessing.spawn(_fail_on_one, (free_port, str(tmp_path)), nprocs=2)
    waited, _, message = (tmp_path / "0.txt").read_text().partition(" ")
    assert message == "stopped, because rank 1 failed: tile x: is gone; restore it"
    assert float(waited) < 55
    assert "tile x: is gone" in (tmp_path / "1.txt").read_text()


def _leave_while_the_watcher_is_busy(rank: int, port: int) -> None:
    _join(rank, port, 2)

    def busy(_: object, ended: threading.Event) -> None:
        ended.wait()
        time.sleep(0.5)

    distributed._watch = busy
    with world("cpu") as group:
        group.any(False)
    assert WATCHER not in [thread.name for thread in threading.enumerate()]


def test_the_watching_thread_is_waited_for(free_port: int) -> None:
    """In C++ while Python ends, it would abort the process in place of its message."""
    torch.multiprocessing.spawn(_leave_while_the_watcher_is_busy, (free_port,), nprocs=2)


def _fail_while_the_other_sleeps(rank: int, port: int) -> None:
    _join(rank, port, 2)
    with world("cpu") as group:
        group.any(False)
        if rank == 1:
            raise DataError("tile x: is gone; restore it")
        time.sleep(120)  # like a rank that waits for a GPU's answer


def test_a_stuck_rank_is_ended_when_another_fails(free_port: int) -> None:
    context = torch.multiprocessing.get_context("spawn")
    ranks = [
        context.Process(target=_fail_while_the_other_sleeps, args=(rank, free_port))
        for rank in (0, 1)
    ]
    start = time.monotonic()
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
    assert [process.exitcode for process in ranks] == [1, 1]
    assert time.monotonic() - start < 110


def test_a_world_of_one_needs_no_group() -> None:
    alone = World(0, 1, torch.device("cpu"))
    assert alone.gather(3) == [3]
    assert alone.any(True)
    assert alone.sum(np.array([1, 2])).tolist() == [1, 2]


@pytest.mark.parametrize("name", ["gpu", "cuda:1", ""])
def test_an_unknown_device_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match="expected auto, cpu or cuda"):
        pick_device(name)

"""The process group that torchrun sets up, or a world of one."""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from runtime.errors import ConfigError, ToolkitError, reason

_FAILURE = "dual-hrnet-edge/failure"
_WATCH_SECONDS, _GRACE_SECONDS = 1.0, 5.0
WATCHER = "watches other ranks"
"""Name of the thread that ends a stuck rank."""


@dataclass(frozen=True)
class World:
    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Rank 0 alone writes files and talks."""
        return self.rank == 0

    def sum(self, counts: np.ndarray) -> np.ndarray:
        """int64 counts added up over all ranks."""
        return self.total(torch.from_numpy(np.asarray(counts, np.int64))).cpu().numpy()

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """A tensor added up over all ranks, on this rank's device."""
        if self.size == 1:
            return values
        values = values.to(self.device, copy=True)
        dist.all_reduce(values)
        return values

    def any(self, condition: bool) -> bool:
        """Whether it holds on at least one rank; the same answer on all of them."""
        return bool(self.total(torch.tensor(int(condition))).item())

    def gather(self, item: Any) -> list[Any]:
        """Every rank's item, by rank."""
        if self.size == 1:
            return [item]
        items: list[Any] = [None] * self.size
        dist.all_gather_object(items, item)
        return items

    def share(self, tensors: list[torch.Tensor]) -> None:
        """Rank 0's values everywhere. Batch norm's running statistics differ between ranks
        after a step, and it is rank 0's that are saved."""
        if self.size > 1:
            for tensor in tensors:
                whole = tensor.contiguous()  # a copy where the layout is channels-last
                dist.broadcast(whole, src=0)
                if whole is not tensor:
                    tensor.copy_(whole)


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """`auto` takes a GPU where there is one. FP32 on it is FP32 from then on.

    Raises:
        ConfigError: an unknown name, no GPU here, or fewer GPUs than processes.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device {name!r}: expected auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda: PyTorch sees no GPU here; use --device cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    count = torch.cuda.device_count()
    if local_rank >= count:
        raise ConfigError(
            f"process {local_rank} of this node has no GPU, there are {count}; "
            f"start torchrun with --nproc-per-node={count}"
        )
    # By PyTorch's default cuDNN rounds FP32 to TF32, whose mantissa is FP16's: scores and labels
    # would not be the processor's. Who wants speed has bf16.
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda", local_rank)


@contextlib.contextmanager
def world(device: str = "auto") -> Iterator[World]:
    """Join the group named by torchrun's environment; nccl on GPUs, gloo on CPUs.

    An exception on one rank ends the others, too, with its message, and not with the broken
    connection that they notice first. One that is stuck is ended by a watching thread: a
    rank that waits for another's GPU never raises.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    place = pick_device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if size == 1:
        yield World(rank, size, place)
        return
    dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    store = dist.distributed_c10d._get_default_store()
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(store, ended), daemon=True, name=WATCHER)
    watcher.start()
    group = World(rank, size, place)
    try:
        group.any(False)  # one that failed before all have joined would break their connections
        yield group
    except BaseException as error:
        told = _explained(error, store, rank)
        if place.type == "cpu":
            _leave()
        raise told from error
    else:
        dist.destroy_process_group()
    finally:
        ended.set()
        # Python ending while it is inside the store would abort the process.
        watcher.join(_GRACE_SECONDS)


def _leave() -> None:
    """Drop a gloo group without waiting for ranks that never answer.

    Its threads hold tensors of Python's. One that lets go of them while the interpreter ends
    aborts the process, and with it the message, so they end first.
    """

    def leave() -> None:
        with contextlib.suppress(RuntimeError):
            dist.distributed_c10d._get_default_group().abort()  # pending collectives fail now
            dist.destroy_process_group()

    thread = threading.Thread(target=leave, daemon=True, name="leaves the group")
    thread.start()
    thread.join(_GRACE_SECONDS)


def _explained(error: BaseException, store: dist.Store, rank: int) -> BaseException:
    """`error`, told to the other ranks; or theirs, if it is their end that was noticed."""
    if isinstance(error, RuntimeError):
        # A collective whose peer has gone raises a RuntimeError of its own.
        if first := _first_failure(store):
            return ToolkitError(first)
        if isinstance(error, dist.DistError) or "onnection" in str(error):
            error = ToolkitError(
                "another process went away without a message (killed, or out of memory?): "
                f"{reason(error)[:120]}"
            )
    with contextlib.suppress(RuntimeError):
        store.compare_set(_FAILURE, "", f"stopped, because rank {rank} failed: {reason(error)}")
    return error


def _first_failure(store: dist.Store) -> str | None:
    """What another rank left in the store before it went."""
    with contextlib.suppress(RuntimeError):
        store.wait([_FAILURE], datetime.timedelta(seconds=2))
        return store.get(_FAILURE).decode()
    return None


def _watch(store: dist.Store, ended: threading.Event) -> None:
    """End this process some seconds after another has failed, if it has not ended by then."""
    while not ended.wait(_WATCH_SECONDS):
        try:
            failed = store.check([_FAILURE])
        except RuntimeError:  # the store went with the process that held it
            return
        if failed:
            if not ended.wait(_GRACE_SECONDS):
                print(f"error: {store.get(_FAILURE).decode()}", file=sys.stderr, flush=True)
                os._exit(1)
            return

"""The process group that torchrun sets up, or a world of one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist

from runtime.errors import ConfigError


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
        if self.size == 1:
            return counts
        tensor = torch.from_numpy(np.asarray(counts, np.int64)).to(self.device)
        dist.all_reduce(tensor)
        return tensor.cpu().numpy()

    def share(self, tensors: list[torch.Tensor]) -> None:
        """Rank 0's values everywhere. Batch norm's running statistics differ between ranks
        after a step, and it is rank 0's that are saved."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)


@contextlib.contextmanager
def world(device: str = "auto") -> Iterator[World]:
    """Join the group named by torchrun's environment; nccl on GPUs, gloo on CPUs."""
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device {device!r}: expected auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda: PyTorch sees no GPU here; use --device cpu")
    on_gpu = device != "cpu" and torch.cuda.is_available()
    size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    place = torch.device("cpu")
    if on_gpu:
        local, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= count:
            raise ConfigError(
                f"process {local} of this node has no GPU, there are {count}; "
                f"start torchrun with --nproc-per-node={count}"
            )
        place = torch.device("cuda", local)
        torch.cuda.set_device(place)
    if size > 1:
        dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield World(rank, size, place)
    finally:
        if size > 1:
            dist.destroy_process_group()

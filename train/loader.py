"""The loader of a run, whose processes start, fail and end without leaving the run to wait."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator

import torch
from torch.utils.data import DataLoader

from runtime import host
from runtime.errors import ConfigError, ToolkitError, reason
from train.config import TrainConfig
from train.data_config import DataConfig
from train.dataset import CropDataset, Reporting, collate, worker_init
from train.sampling import EpochSampler
from train.shared_memory import require_shared_memory

_AHEAD = 2
"""Batches that each process makes in advance, PyTorch's default."""
_FEW, _PER_CORE = 16, 8
"""Processes that may be asked for on any machine, and for each of its cores."""
_PIXEL = 8
"""Bytes of an item a pixel: two RGB images and two masks."""
_DIED = "DataLoader worker"
"""What PyTorch's messages about a process that is gone begin with."""


def check_loader(config: TrainConfig) -> None:
    """Raises: ConfigError for more processes than do any good, or batches that would not fit."""
    data, optim = config.data, config.optim
    if not data.workers:
        return
    ranks_here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    most = max(_FEW, _PER_CORE * host.physical_cores() // ranks_here)
    if data.workers > most:
        raise ConfigError(
            f"data.workers={data.workers}: each is a process with PyTorch in it; expected at most "
            f"{most} a rank on this machine"
        )
    batch = optim.batch_size * data.crop**2 * _PIXEL
    # One more is being copied while those of a step are held.
    under_way = _AHEAD * data.workers + optim.accumulate + 1
    require_shared_memory(
        f"data.workers={data.workers}",
        ranks_here * under_way * batch,
        "set data.workers=0",
    )


def require_memory(data: DataConfig, sizes: Iterable[tuple[int, int]]) -> None:
    """Raises: ConfigError where decoded tiles of these sizes (height, width) are to be kept in
    memory, in each process that loads, and would not fit there."""
    if data.cache != "memory":
        return
    tiles = [height * width * _PIXEL for height, width in sizes]
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) * max(1, data.workers)
    need, free = sum(tiles) * processes, host.available_memory()
    if free is not None and need > free:
        raise ConfigError(
            f"data.cache=memory: {len(tiles)} decoded tiles in each of {processes} processes that "
            f"load are {need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are available here; set "
            "data.cache=disk or none, or lower data.workers"
        )


def make_loader(
    dataset: CropDataset, sampler: EpochSampler, config: TrainConfig, *, pin_memory: bool
) -> DataLoader:
    workers = config.data.workers
    return DataLoader(
        Reporting(dataset),
        batch_size=config.optim.batch_size,
        collate_fn=collate,
        sampler=sampler,
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        worker_init_fn=worker_init,
        persistent_workers=workers > 0,
        # A fork would copy OpenCV's locks while validation's threads hold them.
        multiprocessing_context="spawn" if workers else None,
        pin_memory=pin_memory,
        # Its own, so that it does not draw from the run's random state, which is saved.
        generator=torch.Generator(),
    )


@contextlib.contextmanager
def ending(loader: DataLoader) -> Iterator[None]:
    """No process of the loader outlives the block, however it ends.

    Else Python waits at its end for processes that ignore SIGTERM.

    Raises:
        ToolkitError: a process of the loader was killed.
    """
    try:
        yield
    except RuntimeError as error:  # PyTorch raises it wherever the run happens to be
        if not str(error).startswith(_DIED):
            raise
        raise ToolkitError(
            f"a loader process is gone ({reason(error)[:120]}): killed, for memory as a rule; what "
            "was saved is kept, lower data.workers or set data.cache=none, and go on with --resume"
        ) from error
    finally:
        _end(loader)


def _end(loader: DataLoader) -> None:
    # PyTorch has no public way to end persistent workers.
    iterator = loader._iterator
    if iterator is None:
        return
    with contextlib.suppress(RuntimeError):  # of a process that was killed
        iterator._shutdown_workers()
    for process in getattr(iterator, "_workers", ()):
        if process.is_alive():
            process.kill()

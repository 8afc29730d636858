"""The network in PyTorch: eager, in channels-last layout, and compiled."""

from __future__ import annotations

import contextlib
import copy
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from benchmarks.peers.peer import ALONE, EAGER, END_TO_END, PYTORCH, Peer, Task

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from train.model import DualHRNet


class TimeLimit(BaseException):
    """Not an Exception: the compiler must not take it for a failure of its own and go on."""


def eager_peers(network: DualHRNet, task: Task) -> list[Peer]:
    return _peers(EAGER, network, task)


def channels_last_peers(network: DualHRNet, task: Task) -> list[Peer]:
    import torch

    moved: Any = copy.deepcopy(network)
    moved.to(memory_format=torch.channels_last)
    return _peers("PyTorch channels-last", moved, task, torch.channels_last)


def compiled_peers(network: DualHRNet, task: Task, limit: int) -> list[Peer]:
    """torch.compile for the one size, compiled when this returns.

    Raises:
        TimeLimit: it took longer than `limit` seconds.
        Exception: whatever the compiler raises, where there is no C++ compiler for instance.
    """
    import torch
    import torch._inductor.config as inductor

    # In this process: its workers would go on after the limit, and disturb what is timed.
    inductor.compile_threads = 1
    peers = _peers("torch.compile", torch.compile(network, dynamic=False), task)
    try:
        with time_limit(limit):
            for peer in peers:
                peer.call()
    except BaseException:
        torch.compiler.reset()
        raise
    return peers


@contextlib.contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raises TimeLimit in the block when they are over; in the main thread, on POSIX.

    And again each second: raised where Python calls back from C, as when an object goes, it is
    printed and forgotten.
    """

    def stop(*_: object) -> None:
        raise TimeLimit(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _peers(name: str, network: Any, task: Task, layout: Any = None) -> list[Peer]:
    import torch

    from train.inference import predict_maps
    from train.model.decode import building_logit, class_logits, decode
    from train.model.dual_hrnet import normalise

    layout = layout or torch.contiguous_format
    images = [
        normalise(torch.from_numpy(each.copy())[None], task.config).to(memory_format=layout)
        for each in task.pair
    ]

    def alone() -> Any:
        with torch.inference_mode():
            return network(*images)

    def damage(logits: tuple[Tensor, Tensor]) -> np.ndarray:
        building, classes = building_logit(logits[0]), class_logits(logits[1])
        return decode(building, classes, task.threshold)[0][0].numpy()

    def end_to_end() -> tuple[np.ndarray, ...]:
        return predict_maps(network, *task.pair, task.threshold)

    return [
        Peer(name, PYTORCH, END_TO_END, end_to_end, lambda maps: maps[0]),
        Peer(name, PYTORCH, ALONE, alone, damage),
    ]

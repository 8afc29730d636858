"""The running statistics of batch norm, kept as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def still_statistics(network: nn.Module) -> Iterator[None]:
    """Forward passes inside leave every running statistic of `network` as it was.

    Batches are still normalised by their own statistics in training mode. Inside, the
    norms update copies, which are dropped at the end: a momentum of 0 would still count
    the batch and would turn an infinite variance into NaN.
    """
    kept = [
        (norm, name, buffer)
        for norm in network.modules()
        if isinstance(norm, nn.BatchNorm2d | nn.SyncBatchNorm)
        for name, buffer in norm.named_buffers(recurse=False)
    ]
    try:
        for norm, name, buffer in kept:
            setattr(norm, name, buffer.clone())
        yield
    finally:
        for norm, name, buffer in kept:
            setattr(norm, name, buffer)

"""How cuDNN chooses its algorithms."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def searched(device: torch.device) -> Iterator[None]:
    """On a GPU, each convolution inside is computed by the algorithm that is fastest for its
    shape, which cuDNN finds by trying all of them when the shape is new.

    For steps on crops of one size. Validation is left out: with tiles of several sizes it would
    try again and again. What was chosen may differ from run to run, and the last bits with it.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before

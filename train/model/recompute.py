"""Less memory for more time: activations that are computed again when the gradient needs them.

Chen et al., "Training Deep Nets with Sublinear Memory Cost" (2016).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from train.model.statistics import still_statistics

T = TypeVar("T")


def recomputed(part: nn.Module, work: Callable[..., T], *inputs: object) -> T:
    """`work(*inputs)`, of which only inputs and result are kept for the backward pass.

    Args:
        part: holds every batch norm that `work` uses; a batch counts once in its running
            statistics, although it passes twice.
    """
    # A compiler replays a part without its side effects, and takes no context of ours.
    compiling = torch.compiler.is_compiling()
    options = {} if compiling else {"context_fn": lambda: (nullcontext(), still_statistics(part))}
    # No layer draws random numbers; saving their state would wait for the GPU.
    return checkpoint(work, *inputs, use_reentrant=False, preserve_rng_state=False, **options)

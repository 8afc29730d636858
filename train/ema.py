"""An exponential moving average of the weights: what is validated and exported."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from train.model import DualHRNet


class AveragedWeights:
    """Follows a network. Batch norm's running statistics are averaged along."""

    def __init__(self, network: DualHRNet, decay: float) -> None:
        """`network` keeps its tensors from now on: what changes them writes into them."""
        self.decay = decay
        self.updates = 0
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        pairs = list(zip(_tensors(self.network), _tensors(network), strict=True))
        self._floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counters = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """One step towards the network's weights; faster while the run is young."""
        self.updates += 1
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
        ours, theirs = map(list, zip(*self._floats, strict=True))
        get_ema_multi_avg_fn(keep)(ours, theirs, self.updates)  # all tensors in one call
        for counter, followed in self._counters:
            counter.copy_(followed)


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]

"""An exponential moving average of the weights: what is validated and exported."""

from __future__ import annotations

import copy

import torch

from train.model import DualHRNet


class AveragedWeights:
    """Follows a network. Batch norm's running statistics are averaged along."""

    def __init__(self, network: DualHRNet, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: DualHRNet) -> None:
        """One step towards the network's weights; faster while the run is young."""
        self.updates += 1
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
        theirs = network.state_dict()
        for name, ours in self.network.state_dict().items():
            if ours.is_floating_point():
                ours.lerp_(theirs[name].to(ours.dtype), 1 - keep)
            else:
                ours.copy_(theirs[name])

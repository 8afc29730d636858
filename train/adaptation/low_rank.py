"""Low-rank updates of convolutions (Hu et al., "LoRA", 2021), merged into the weights at the end.

W + B A, where B is [out, r] and A is [r, in x k x k]: few numbers are learnt, so few corrections
cannot bend the network far. B begins at 0, so that the network begins as it was.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRankUpdate(nn.Module):
    """A weight [out, in, k, k] -> the weight with its update."""

    def __init__(self, weight: Tensor, rank: int, random: torch.Generator) -> None:
        super().__init__()
        outputs, inputs = weight.shape[0], weight[0].numel()
        rank = min(rank, outputs, inputs)
        down = torch.randn(rank, inputs, generator=random) / math.sqrt(inputs)
        self.down = nn.Parameter(down.to(weight))
        self.up = nn.Parameter(weight.new_zeros(outputs, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).view_as(weight)


def add_updates(network: nn.Module, rank: int, seed: int) -> list[nn.Parameter]:
    """Give every convolution of `network` an update; the parameters that are learnt.

    The weights themselves are frozen.
    """
    random = torch.Generator().manual_seed(seed)
    network.requires_grad_(False)
    learnt: list[nn.Parameter] = []
    for module in [each for each in network.modules() if isinstance(each, nn.Conv2d)]:
        update = LowRankUpdate(module.weight, rank, random)
        parametrize.register_parametrization(module, "weight", update)
        learnt += [update.down, update.up]
    return learnt


def merge_updates(network: nn.Module) -> None:
    """The same network with plain weights under their own names."""
    for module in list(network.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)

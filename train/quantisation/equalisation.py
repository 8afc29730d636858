"""Cross-layer equalisation: channels of very different size are brought together before rounding.

Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction"
(2019, arXiv:1906.04721), section 4.1. A ReLU is positively homogeneous: a channel between a
convolution and the only one that reads it may be divided by a number above 0, and the weights
that read it be multiplied by it. The function stays the same; what INT8 makes of it does not.
As there the number is sqrt(a / b), where b is the largest weight that reads the channel. Other
than there

- a is the size of the channel itself, not of the weights that make it: these have a scale for
  each channel, but all channels of the tensor share one. Batch norm tells the size;
- the number is a power of two, so that FP32 computes the same, bit for bit;
- a layer stays as it is whose channels are all within a factor of four of their middle, and that
  within a factor of 16 of 1. In trained networks all are: bringing them together did not help
  (docs/measurements/calibration.md). In other layers every channel comes within a factor of two.

Pairs are convolution, batch norm, ReLU, convolution: within blocks, along chains of strided
convolutions, within the heads. What several layers read, or what is added up, stays as it is.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from train.model import DualHRNet

_CHANNEL_BOUND, _LAYER_BOUND = 2, 4
_FARTHEST = 60
"""Binary orders of magnitude. Beyond the last FP32's own range would end."""

_DEVIATIONS = 3
"""Of a channel's values, which are the more of it."""


@dataclass(frozen=True)
class Pair:
    """Module paths. The second convolution is the only reader of the first one's channels.

    second_norm: batch norm of the second convolution alone, or None.
    """

    first: str
    norm: str
    second: str
    second_norm: str | None


def equalised(network: DualHRNet) -> DualHRNet:
    """A copy of the same function, channels of very different size brought together.

    It depends on the network's parameters alone.
    """
    network = copy.deepcopy(network)
    modules = dict(network.named_modules())
    # From the end: the weights that read a layer are then brought together themselves.
    for pair in reversed(pairs(network)):
        after = modules[pair.second_norm] if pair.second_norm else None
        _equalise(modules[pair.norm], modules[pair.second], after)
    return network


def pairs(network: DualHRNet) -> list[Pair]:
    """In order of execution. A module that a siamese network calls twice must be of the same
    pair each time."""
    graph = fx.symbolic_trace(network)
    modules = dict(network.named_modules())
    calls = Counter(str(node.target) for node in graph.graph.nodes if node.op == "call_module")
    found = Counter(pair for node in graph.graph.nodes if (pair := _pair(node, modules)))
    return [
        pair
        for pair, count in found.items()
        if all(calls[path] == count for path in (pair.first, pair.norm, pair.second))
    ]


def _pair(first: fx.Node, modules: dict[str, nn.Module]) -> Pair | None:
    """The pair that begins at the node `first`."""
    chain: list[fx.Node] = [first]
    while len(chain) < 5 and len(chain[-1].users) == 1:
        chain.extend(chain[-1].users)
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Conv2d, nn.BatchNorm2d)
    fits = [
        node.op == "call_module" and isinstance(modules[str(node.target)], kind)
        for node, kind in zip(chain, kinds, strict=False)
    ]
    if len(fits) < 4 or not all(fits[:4]):
        return None
    paths = [str(node.target) for node in chain]
    return Pair(paths[0], paths[1], paths[3], paths[4] if fits[4:] == [True] else None)


@torch.no_grad()
def _equalise(norm: nn.BatchNorm2d, second: nn.Conv2d, second_norm: nn.BatchNorm2d | None) -> None:
    size = norm.bias.abs() + _DEVIATIONS * norm.weight.abs()
    weight = second.weight.abs()
    if second_norm is not None:
        gain = second_norm.weight / torch.sqrt(second_norm.running_var + second_norm.eps)
        weight = weight * gain.abs().view(-1, 1, 1, 1)
    exponents = _exponents(size, weight.amax((0, 2, 3)))
    norm.weight.copy_(torch.ldexp(norm.weight, -exponents))
    norm.bias.copy_(torch.ldexp(norm.bias, -exponents))
    second.weight.copy_(torch.ldexp(second.weight, exponents.view(1, -1, 1, 1)))


def _exponents(size: Tensor, reading: Tensor) -> Tensor:
    """int [channels], of the powers of two that the channels are divided by.

    Args:
        size: [channels], of their values.
        reading: [channels], of the weights that read them.
    """
    live = (size > 0) & (reading > 0)
    if not live.any():
        return torch.zeros_like(size, dtype=torch.int32)
    wanted = torch.where(live, (size.double().log2() - reading.double().log2()) / 2, 0.0)
    middle = wanted[live].median()
    if middle.abs() < _LAYER_BOUND:
        wanted = torch.where(live, wanted - middle, 0.0)
    if wanted.abs().max() < _CHANNEL_BOUND:
        wanted = torch.zeros_like(wanted)
    return wanted.trunc().clamp(-_FARTHEST, _FARTHEST).int()

"""A last 1x1 convolution to very few channels, as products and sums over the channels.

Compilers put such a sum into the kernel that makes its input, so that the input, the widest
tensor of a head, is never written. All of it is FP32, in an FP16 network too, which costs nothing
there and keeps the logits exact.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from export.rewrites.convolutions import convolution, is_relu
from export.rewrites.sums import Sum, find_sums

FEW = 4
"""Channels, at most: each costs a pass of multiplications over the input."""


class ChannelDot(nn.Module):
    """ReLU of a sum of terms [N, C, H, W], then a 1x1 convolution to FP32 [N, few, H, W]."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.register_buffer("weight", conv.weight.detach().clone())
        self.register_buffer("bias", conv.bias.detach().clone().view(1, -1, 1, 1))

    def forward(self, *terms: Tensor) -> Tensor:
        total = terms[0].float()
        for term in terms[1:]:
            total = total + term.float()
        total = torch.relu(total)
        rows = [(total * row[None]).sum(1, keepdim=True) for row in self.weight]
        return torch.cat(rows, 1) + self.bias


def channel_dot(core: fx.GraphModule) -> fx.GraphModule:
    for each in find_sums(core):
        classifier = _classifier(core, each)
        if classifier is None:
            continue
        path = f"{classifier.target}_by_channel"
        core.add_submodule(path, ChannelDot(convolution(core, classifier)))
        # Written before the rest are added: a convolution keeps its kernel to itself then.
        ordered = sorted(each.terms, key=lambda term: convolution(core, term) is None)
        with core.graph.inserting_before(classifier):
            logits = core.graph.call_module(path, tuple(ordered))
        classifier.replace_all_uses_with(logits)
    return core


def _classifier(core: fx.GraphModule, each: Sum) -> fx.Node | None:
    """The convolution to few channels behind the sum's ReLU, if nothing else reads either."""
    if len(each.terms) < 3 or len(each.result.users) > 1:
        return None
    (relu,) = each.result.users
    if not is_relu(core, relu) or len(relu.users) > 1:
        return None
    (node,) = relu.users
    conv = convolution(core, node)
    fits = conv is not None and conv.kernel_size == (1, 1) and conv.out_channels <= FEW
    return node if fits else None

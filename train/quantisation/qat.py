"""Quantisation-aware training: a network's own parameters, trained through INT8's rounding.

Batch norm is not folded here, and need not be: folding multiplies an output channel's
weights by one number, and rounding by the channel's largest weight commutes with that.
So the weights are rounded as they are, every time from their current values.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from train.model import DualHRNet
from train.model.inference_form import drop_identities
from train.quantisation.fake import WEIGHT_LIMIT, Form, Range, quantise


class RoundedConv2d(nn.Module):
    """A convolution that computes with its weights rounded as by `QuantizedConv2d`.

    The weights' gradient is that of the rounded ones (straight through).
    """

    def __init__(self, conv: nn.Conv2d, limit: int = WEIGHT_LIMIT) -> None:
        super().__init__()
        self.conv, self.limit = conv, limit

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        return nn.functional.conv2d(
            x, _rounded(conv.weight, self.limit), conv.bias, conv.stride, conv.padding
        )


def _rounded(weight: Tensor, limit: int) -> Tensor:
    """Per output channel, symmetric, `limit` levels on either side of 0."""
    amax = weight.detach().abs().amax((1, 2, 3))
    scale = torch.where(amax > 0, amax / limit, torch.ones_like(amax)).float()
    zero_point = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero_point, 0, -limit, limit)


def traced(network: DualHRNet) -> fx.GraphModule:
    """The graph of `network` that has the sites of its `inference_form`, and nothing folded."""
    graph = fx.symbolic_trace(network)
    drop_identities(graph)
    return graph


def quantised_training_graph(
    network: DualHRNet, ranges: dict[str, Range], form: Form = "signed"
) -> fx.GraphModule:
    """`network` as a graph that rounds where its INT8 engine will, at the engine's ranges.

    Called as the network is, and its layers are the network's own: both train together,
    and train or evaluate together. What the engine leaves out is still here (a background
    damage logit), and of two localization logits the weights of each are rounded, where the
    engine rounds the weights of their difference; everything else is the same.

    Raises:
        CalibrationError: a quantised tensor has no range.
    """
    graph = quantise(traced(network), ranges, form, convolution=RoundedConv2d)
    graph.config = network.config
    return graph

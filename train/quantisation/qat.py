"""Quantisation-aware training: a network's own parameters, trained through INT8's rounding.

Batch norm is not folded here, and need not be: folding multiplies an output channel's
weights by one number. So the weights are rounded as they are, every time from their current
values, by the scale that the folded ones would have, divided by that number.
"""

from __future__ import annotations

import operator

import torch
from torch import Tensor, fx, nn

from train.model import DualHRNet
from train.model.inference_form import drop_identities
from train.quantisation.fake import Form, Range, Rounding, quantise


class RoundedConv2d(nn.Module):
    """A convolution that computes with its weights rounded as by `QuantizedConv2d`.

    The weights' gradient is that of the rounded ones (straight through).
    """

    def __init__(
        self, conv: nn.Conv2d, rounding: Rounding, norm: nn.BatchNorm2d | None = None
    ) -> None:
        """norm: what the engine folds into the convolution."""
        super().__init__()
        self.conv, self.rounding, self.norm = conv, rounding, norm

    def forward(self, x: Tensor) -> Tensor:
        conv, limit = self.conv, self.rounding.limit
        scale = self._scale()
        zero_point = torch.zeros_like(scale, dtype=torch.int32)
        weight = torch.fake_quantize_per_channel_affine(
            conv.weight, scale, zero_point, 0, -limit, limit
        )
        return nn.functional.conv2d(x, weight, conv.bias, conv.stride, conv.padding)

    @torch.no_grad()
    def _scale(self) -> Tensor:
        """float32 [channels], of the weights as they are."""
        conv, norm = self.conv, self.norm
        amax = conv.weight.abs().amax((1, 2, 3))
        if norm is None:
            return self.rounding.scale(amax, conv.bias)
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        bias = norm.bias - norm.running_mean * gain
        if conv.bias is not None:
            bias = bias + conv.bias * gain
        # Of what is multiplied by 0 the scale does not matter.
        gain = torch.where(gain == 0, 1.0, gain.abs())
        return (self.rounding.scale(amax * gain, bias) / gain).float()


def traced(network: DualHRNet) -> fx.GraphModule:
    """The graph of `network` that has the sites of its `inference_form`, and nothing folded."""
    graph = fx.symbolic_trace(network)
    drop_identities(graph)
    return graph


def quantised_training_graph(
    network: DualHRNet,
    ranges: dict[str, Range],
    form: Form = "signed",
    scales: torch.dtype = torch.float16,
) -> fx.GraphModule:
    """`network` as a graph that rounds where its INT8 engine will, at the engine's ranges: as
    for NVIDIA targets, where nothing else is asked for.

    Called as the network is, and its layers are the network's own: both train together,
    and train or evaluate together. What the engine leaves out is still here (a background
    damage logit), and of two localization logits the weights of each are rounded, where the
    engine rounds the weights of their difference; everything else is the same.

    Raises:
        CalibrationError: a quantised tensor has no range.
    """
    graph = traced(network)
    norms = _norms(graph)

    def convolution(conv: nn.Conv2d, rounding: Rounding) -> RoundedConv2d:
        return RoundedConv2d(conv, rounding, norms.get(conv))

    quantise(graph, ranges, form, convolution=convolution, scales=scales)
    graph.config = network.config
    return graph


def _norms(graph: fx.GraphModule) -> dict[nn.Module, nn.BatchNorm2d]:
    """By convolution: the batch norm of its output, or of the sum that it is a term of."""
    modules = dict(graph.named_modules())
    found = {}
    for node in graph.graph.find_nodes(op="call_module"):
        conv, after = modules[str(node.target)], node
        if not isinstance(conv, nn.Conv2d):
            continue
        while len(after.users) == 1:
            (after,) = after.users
            norm = modules.get(str(after.target)) if after.op == "call_module" else None
            if isinstance(norm, nn.BatchNorm2d):
                found[conv] = norm
            if after.target not in (operator.add, nn.functional.interpolate):
                break
    return found

"""Convolutions of a traced network, and several of them made into one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn

Form = tuple[object, ...]
"""What two convolutions must share to become one: kernel size, stride, padding."""


def convolution(core: fx.GraphModule, node: fx.Node) -> nn.Conv2d | None:
    """The convolution that `node` calls, or None where it does something else."""
    if node.op != "call_module":
        return None
    module = core.get_submodule(str(node.target))
    return module if isinstance(module, nn.Conv2d) else None


def is_relu(core: fx.GraphModule, node: fx.Node) -> bool:
    return node.op == "call_module" and isinstance(core.get_submodule(str(node.target)), nn.ReLU)


def form(conv: nn.Conv2d) -> Form:
    return conv.kernel_size, conv.stride, conv.padding


def side_by_side(convs: Sequence[nn.Conv2d]) -> nn.Conv2d:
    """One convolution that puts out what `convs` do on the same input, channels in their order."""
    return _joined(
        convs, torch.cat([c.weight for c in convs]), torch.cat([_bias(c) for c in convs])
    )


def added_up(convs: Sequence[nn.Conv2d]) -> nn.Conv2d:
    """One convolution of the concatenated inputs that puts out the sum of what `convs` do."""
    biases = torch.stack([_bias(c) for c in convs])
    return _joined(convs, torch.cat([c.weight for c in convs], 1), biases.sum(0))


def add_beside(
    core: fx.GraphModule, first: fx.Node, members: Sequence[fx.Node], conv: nn.Conv2d
) -> str:
    """Register `conv`, named after the first convolution it stands for; returns the path."""
    path = f"{first.target}_and_{len(members) - 1}_more"
    core.add_submodule(path, conv)
    return path


def _joined(convs: Sequence[nn.Conv2d], weight: Tensor, bias: Tensor) -> nn.Conv2d:
    kernel, stride, padding = convs[0].kernel_size, convs[0].stride, convs[0].padding
    joined = nn.Conv2d(weight.shape[1], weight.shape[0], kernel, stride, padding)
    joined.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    joined.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return joined


def _bias(conv: nn.Conv2d) -> Tensor:
    return conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias

"""The two finest branches of a pyramid are projected together.

A projection of the second branch is wide, and at half the size of the finest: upsampled it
is the widest tensor of the network, written once and read once. The branch itself is several
times narrower. So the branch is upsampled, put beside the finest one, and one convolution
projects both. That costs arithmetic (the second branch is projected at the finest size), and
saves far more bytes; for the coarser branches the arithmetic would outweigh the bytes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import fx

from export.rewrites.convolutions import add_beside, added_up, convolution, form
from export.rewrites.shapes import shape
from export.rewrites.sums import Sum, find_sums, replace_sum

NARROWER = 4
"""The rewrite pays from this ratio on between a projection's channels and its branch's."""


def finest_pair(core: fx.GraphModule) -> fx.GraphModule:
    for each in find_sums(core):
        projection = next((t for t in each.terms if _projects(core, t)), None)
        upsampled = next((t for t in each.terms if _is_wide_upsampling(core, t)), None)
        if projection and upsampled:
            _join(core, each, projection, upsampled)
    return core


def _projects(core: fx.GraphModule, node: fx.Node) -> bool:
    """A 1x1 convolution that makes its input several times wider."""
    conv = convolution(core, node)
    return (
        conv is not None
        and conv.kernel_size == (1, 1)
        and conv.stride == (1, 1)
        and conv.out_channels >= NARROWER * conv.in_channels
        and len(node.users) == 1
    )


def _is_wide_upsampling(core: fx.GraphModule, node: fx.Node) -> bool:
    """Upsampling by two of a projection."""
    if node.target is not F.interpolate or len(node.users) > 1:
        return False
    (source,) = node.all_input_nodes
    return _projects(core, source) and shape(node)[-1] == 2 * shape(source)[-1]


def _join(core: fx.GraphModule, each: Sum, finest: fx.Node, upsampled: fx.Node) -> None:
    (second,) = upsampled.all_input_nodes
    convs = [convolution(core, node) for node in (finest, second)]
    if form(convs[0]) != form(convs[1]):
        return
    path = add_beside(core, finest, (finest, second), added_up(convs))
    upsampled.replace_input_with(second, second.all_input_nodes[0])
    with core.graph.inserting_before(each.result):
        pair = core.graph.call_function(torch.cat, ([finest.args[0], upsampled], 1))
        projection = core.graph.call_module(path, (pair,))
    replace_sum(core, each, [projection, *(t for t in each.terms if t not in (finest, upsampled))])

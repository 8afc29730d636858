"""Bilinear upsampling by index: gather the two neighbours along each axis, and mix them.

TensorRT-RTX gives each Resize a kernel of its own, or one with a single addition. Written as
gathers, several upsamplings and their sum are one kernel, and no upsampled tensor is written.
They are added to each other before the rest: in between, the compiler would leave a sum to a
convolution's kernel, and write each of them. An upsampling that is alone in its sum stays a
Resize: there is nothing to put together.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from export.rewrites.shapes import shape
from export.rewrites.sums import add_in_order, find_sums, replace_sum


class IndexedUpsampling(nn.Module):
    """`upsample(x, factor)` of an x [N, C, height, width]; the same in real arithmetic."""

    def __init__(self, height: int, width: int, factor: int) -> None:
        super().__init__()
        for name, size in (("rows", height), ("columns", width)):
            low, high, share = neighbours(size, factor)
            self.register_buffer(f"{name}_low", low)
            self.register_buffer(f"{name}_high", high)
            self.register_buffer(f"{name}_share", share[:, None] if name == "rows" else share)

    def forward(self, x: Tensor) -> Tensor:
        low, high = (x.index_select(2, i) for i in (self.rows_low, self.rows_high))
        x = low + (high - low) * self.rows_share
        low, high = (x.index_select(3, i) for i in (self.columns_low, self.columns_high))
        return low + (high - low) * self.columns_share


def neighbours(size: int, factor: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of each place on the finer axis, align_corners=False: both neighbours on the coarse
    axis (int64 [size x factor]) and the share of the second (float32)."""
    place = (torch.arange(size * factor, dtype=torch.float64) + 0.5) / factor - 0.5
    below = place.floor()
    low, high = (index.clamp(0, size - 1).long() for index in (below, below + 1))
    return low, high, (place - below).float()


def indexed_upsampling(core: fx.GraphModule) -> fx.GraphModule:
    for each in find_sums(core):
        found = [t for t in each.terms if t.target is F.interpolate and len(t.users) == 1]
        if len(found) > 1:
            rest = [term for term in each.terms if term not in found]
            together = add_in_order(core, each, [_indexed(core, node) for node in found])
            replace_sum(core, each, [*rest, together])
    return core


def _indexed(core: fx.GraphModule, node: fx.Node) -> fx.Node:
    (source,) = node.all_input_nodes
    *_, height, width = shape(source)
    factor = shape(node)[-1] // width
    path = f"upsampling_{height}x{width}_by_{factor}"
    if not hasattr(core, path):
        core.add_submodule(path, IndexedUpsampling(height, width, factor))
    with core.graph.inserting_before(node):
        return core.graph.call_module(path, (source,))

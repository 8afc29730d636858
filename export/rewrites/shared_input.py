"""Convolutions that read the same tensor become one, whose channels are handed out.

The tensor is read once. A reader that computes element by element takes its channels where
they lie. A convolution would need a copy of them first, which costs more than is saved, so
only results that no convolution reads are merged; in the published network that keeps the
two 1x1 fusions which read one concatenation apart.
"""

from __future__ import annotations

import torch
from torch import fx

from export.rewrites.convolutions import (
    Form,
    add_beside,
    convolution,
    form,
    is_relu,
    side_by_side,
)


def shared_input(core: fx.GraphModule) -> fx.GraphModule:
    for node in list(core.graph.nodes):
        groups: dict[Form, list[fx.Node]] = {}
        for reader in node.users:
            conv = convolution(core, reader)
            if conv is not None and not _read_by_convolution(core, reader):
                groups.setdefault(form(conv), []).append(reader)
        for group in groups.values():
            if len(group) > 1:
                _merge(core, node, group)
    return core


def _read_by_convolution(core: fx.GraphModule, node: fx.Node) -> bool:
    """Directly, or through the ReLU that belongs to the convolution's own kernel."""
    return any(is_relu(core, u) or convolution(core, u) is not None for u in node.users)


def _merge(core: fx.GraphModule, source: fx.Node, group: list[fx.Node]) -> None:
    convs = [convolution(core, node) for node in group]
    path = add_beside(core, group[0], group, side_by_side(convs))
    with core.graph.inserting_after(source):
        together = core.graph.call_module(path, (source,))
    start, last = 0, together
    for node, conv in zip(group, convs, strict=True):
        with core.graph.inserting_after(last):
            last = core.graph.call_function(torch.narrow, (together, 1, start, conv.out_channels))
        last.meta.update(node.meta)  # the same map, of the same shape
        start += conv.out_channels
        node.replace_all_uses_with(last)
    for node in group:
        core.graph.erase_node(node)

"""Convolutions whose results are added become one convolution of the concatenated inputs.

conv_a(x) + conv_b(y) = conv_ab(concat(x, y)): one kernel, and one tensor less to write and to
read again. The concatenation is free where its input has no other reader, because the kernel
that makes it writes it in place; elsewhere it is a copy, and is taken only if it is smaller
than what is saved.
"""

from __future__ import annotations

import torch
from torch import fx

from export.rewrites.convolutions import Form, add_beside, added_up, convolution, form
from export.rewrites.shapes import shape
from export.rewrites.sums import find_sums, replace_sum


def shared_sum(core: fx.GraphModule) -> fx.GraphModule:
    for each in find_sums(core):
        groups: dict[Form, list[fx.Node]] = {}
        for term in each.terms:
            conv = convolution(core, term)
            if conv is not None and len(term.users) == 1 and _pays(term):
                groups.setdefault(form(conv), []).append(term)
        shared = [group for group in groups.values() if len(group) > 1]
        if not shared:
            continue
        with core.graph.inserting_before(each.result):
            merged = [_merge(core, group) for group in shared]
        kept = [term for term in each.terms if not any(term in group for group in shared)]
        replace_sum(core, each, [*merged, *kept])
    return core


def _pays(term: fx.Node) -> bool:
    (source,) = term.all_input_nodes
    return len(source.users) == 1 or shape(source).numel() < shape(term).numel()


def _merge(core: fx.GraphModule, group: list[fx.Node]) -> fx.Node:
    path = add_beside(core, group[0], group, added_up([convolution(core, n) for n in group]))
    together = core.graph.call_function(torch.cat, ([node.args[0] for node in group], 1))
    return core.graph.call_module(path, (together,))

"""Sums in the order compilers fuse best: what is computed element by element first, together.

A convolution's kernel adds one more tensor for nothing. So everything else is added up in one
kernel, and the convolutions take that total one after another.
"""

from __future__ import annotations

from torch import fx

from export.rewrites.convolutions import convolution
from export.rewrites.sums import find_sums, replace_sum


def sum_order(core: fx.GraphModule) -> fx.GraphModule:
    for each in find_sums(core):
        if len(each.terms) < 3:
            continue
        ordered = sorted(each.terms, key=lambda term: _by_convolution(core, term))
        replace_sum(core, each, ordered)
    return core


def _by_convolution(core: fx.GraphModule, term: fx.Node) -> bool:
    return convolution(core, term) is not None and len(term.users) == 1

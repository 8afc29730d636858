"""Sums of a traced network: chains of additions, seen as one sum of many terms."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

from torch import fx


@dataclass(frozen=True)
class Sum:
    """`result` is the addition whose value is the whole sum; its terms are in written order."""

    result: fx.Node
    terms: tuple[fx.Node, ...]


def find_sums(core: fx.GraphModule) -> Iterator[Sum]:
    """Every whole sum, in order of execution. The graph may be changed in between."""
    for node in list(core.graph.nodes):
        is_part = len(node.users) == 1 and is_addition(next(iter(node.users)))
        if is_addition(node) and node.users and not is_part:
            yield Sum(node, tuple(_terms(node)))


def is_addition(node: fx.Node) -> bool:
    """Of two tensors."""
    two = len(node.args) == 2 and all(isinstance(arg, fx.Node) for arg in node.args)
    return node.op == "call_function" and node.target is operator.add and two


def add_in_order(core: fx.GraphModule, old: Sum, terms: Sequence[fx.Node]) -> fx.Node:
    """The sum of `terms`, added in their order, where `old` stands."""
    with core.graph.inserting_before(old.result):
        return reduce(lambda a, b: core.graph.call_function(operator.add, (a, b)), terms)


def replace_sum(core: fx.GraphModule, old: Sum, terms: Sequence[fx.Node]) -> None:
    """Let the sum be that of `terms`, added in their order."""
    old.result.replace_all_uses_with(add_in_order(core, old, terms))


def _terms(node: fx.Node) -> Iterator[fx.Node]:
    for arg in node.args:
        assert isinstance(arg, fx.Node)
        if is_addition(arg) and len(arg.users) == 1:
            yield from _terms(arg)
        else:
            yield arg

"""Which tensors are quantised: the one source of truth for observing, Q/DQ and export.

The rules: the input of every convolution, and the skip input of every residual add. Not
the convolution output that feeds an add (compilers fuse that add into the convolution),
not biases, not the squeeze-excitation layers (their cost is nothing, their error is not).

They hold for the `inference_form` and for the training graph (`train.quantisation.qat`),
where a batch norm still follows a convolution, and the names are the same in both.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

_ROOT = "network."


@dataclass(frozen=True)
class Site:
    """One activation tensor that is quantised.

    `name` is the module path of its first reader, such as `pre.layer1.0.conv2`; a skip
    that no convolution reads is named after its producer, with `:skip`.
    A siamese network calls its modules twice: the two sites of one name share one range.
    """

    name: str
    producer: fx.Node
    readers: tuple[fx.Node, ...]


def sites(graph: fx.GraphModule) -> list[Site]:
    """Every quantised activation of a traced network, in order of execution."""
    modules = dict(graph.named_modules())
    found = []
    for node in graph.graph.nodes:
        convolutions = [user for user in node.users if _is(user, modules, nn.Conv2d)]
        adds = [user for user in node.users if _reads_skip(user, node, modules)]
        readers = tuple(user for user in node.users if user in convolutions or user in adds)
        if not readers:
            continue
        named_after = convolutions[0] if convolutions else _before_norm(node, modules)
        name = str(named_after.target).removeprefix(_ROOT) + ("" if convolutions else ":skip")
        found.append(Site(name, node, readers))
    return found


def convolutions(graph: fx.GraphModule) -> dict[str, nn.Conv2d]:
    """Every convolution whose weights are quantised, by module path."""
    return {name: module for name, module in graph.named_modules() if isinstance(module, nn.Conv2d)}


def _reads_skip(user: fx.Node, node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Is `user` an add whose skip input is `node`: a block's output, or its projected input?"""
    if user.op != "call_function" or user.target is not operator.add:
        return False
    if _is(node, modules, nn.ReLU):
        return True
    projected = _is(_before_norm(node, modules), modules, nn.Conv2d)
    return projected and ".downsample." in str(node.target)


def _before_norm(node: fx.Node, modules: dict[str, nn.Module]) -> fx.Node:
    """What a batch norm reads, which is the node that it is folded into; others as they are."""
    return node.all_input_nodes[0] if _is(node, modules, _BatchNorm) else node


def _is(node: fx.Node, modules: dict[str, nn.Module], kind: type[nn.Module]) -> bool:
    return node.op == "call_module" and isinstance(modules[str(node.target)], kind)

"""The network rewritten for inference: the same function in real arithmetic, less work.

Batch norm goes into the convolution before it, the two localization logits become their
difference, the background damage logit goes, and what is left is one traced graph whose
node names are the ones calibration and quantisation speak of.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from runtime.damage import DAMAGE_CLASSES
from train.model.dual_hrnet import DualHRNet
from train.model.heads import JointHeads, StreamHead, StreamHeads


class CoarseLogits(nn.Module):
    """Normalised images [N, 3, H, W] -> logits [N, 5, H/4, W/4]: building, then classes 1..4."""

    def __init__(self, network: DualHRNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, pre: Tensor, post: Tensor) -> Tensor:
        return torch.cat(self.network.coarse(pre, post), 1)


def inference_form(network: DualHRNet) -> fx.GraphModule:
    """A traced copy of `CoarseLogits(network)` in eval mode; `network` stays as it is."""
    network = copy.deepcopy(network).eval()
    heads = network.heads
    if isinstance(heads, JointHeads):
        _fold_projection(heads)
        heads.damage[-1] = _rows(heads.damage[-1], slice(-len(DAMAGE_CLASSES), None))
    elif isinstance(heads, StreamHeads):
        _fold_projection(heads.building)
        _fold_projection(heads.damage)
        heads.building.classify = _difference(heads.building.classify)
    graph = fx.symbolic_trace(CoarseLogits(network))
    drop_identities(graph)
    _fold_batch_norms(graph)
    _plain_relus(graph)
    return graph.eval().requires_grad_(False)


def drop_identities(graph: fx.GraphModule) -> None:
    """A place where nothing happens would hide from the placement of Q/DQ what is added."""
    for node in graph.graph.find_nodes(op="call_module"):
        if isinstance(graph.get_submodule(str(node.target)), nn.Identity):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.recompile()


def _fold_batch_norms(graph: fx.GraphModule) -> None:
    # As they were: a convolution that a siamese network calls twice is folded once.
    modules = dict(graph.named_modules())
    for node in list(graph.graph.nodes):
        norm = modules.get(node.target) if node.op == "call_module" else None
        if not isinstance(norm, nn.BatchNorm2d):
            continue
        source = node.args[0]
        conv = modules.get(source.target) if source.op == "call_module" else None
        if not isinstance(conv, nn.Conv2d) or len(source.users) > 1:
            continue
        graph.set_submodule(source.target, fuse_conv_bn_eval(conv, norm))
        node.replace_all_uses_with(source)
        graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    graph.recompile()


def _plain_relus(graph: fx.GraphModule) -> None:
    """In-place ReLUs would overwrite tensors that an observer or a skip still reads."""
    for module in graph.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False


def _fold_projection(head: JointHeads | StreamHead) -> None:
    """Batch norm of a sum of convolutions: each takes the scale, the first takes the shift."""
    norm = head.bn
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    with torch.no_grad():
        for branch in head.project.branches:
            branch.weight *= scale[:, None, None, None]
        first = head.project.branches[0]
        first.bias.copy_((first.bias - norm.running_mean) * scale + norm.bias)
    head.bn = cast(nn.BatchNorm2d, nn.Identity())


def _rows(conv: nn.Conv2d, rows: slice) -> nn.Conv2d:
    return _conv_1x1(conv.weight[rows], conv.bias[rows])


def _difference(conv: nn.Conv2d) -> nn.Conv2d:
    """Of two softmax logits only the difference decides; one channel computes it."""
    return _conv_1x1(conv.weight[1:2] - conv.weight[0:1], conv.bias[1:2] - conv.bias[0:1])


def _conv_1x1(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
    conv.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    conv.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return conv

"""The network in FP16, with what must not be rounded left as it is."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from export.rewrites.channel_dot import ChannelDot
from runtime.errors import ExportError
from train.model import DualHRNet
from train.model.dual_hrnet import normalise
from train.model.inference_form import inference_form

LARGEST: float = torch.finfo(torch.half).max

_TRACED = "network."
"""Before every name of an `inference_form`."""

_SEEN = 256
"""Pixels a side of the part of a pair on which activations are looked at: their size does not
depend on the image's, and FP32 is slow."""

KEPT_FP32: tuple[type[nn.Module], ...] = (ChannelDot,)
"""It makes logits, which FP16 would round: those around 200 to eighths, and with them the
borders between classes."""


def to_half(core: fx.GraphModule) -> fx.GraphModule:
    """`core.half()`, in place, but for modules of the kinds in `KEPT_FP32`. The scales of a
    quantised network are numbers of FP16 already (see `train.quantisation.scales`).

    Raises:
        ExportError: a weight is beyond FP16's range, and would become infinite.
    """
    kept = {
        path: copy.deepcopy(module)
        for path, module in core.named_modules()
        if isinstance(module, KEPT_FP32)
    }
    core.half()
    for name, tensor in core.state_dict().items():
        if not tensor.isfinite().all() and not name.startswith(tuple(f"{path}." for path in kept)):
            raise ExportError(
                f"{name.removeprefix(_TRACED)} has values beyond {LARGEST:g}, FP16's largest, once "
                "batch norm is folded into it; export with --fp32, or train with more weight decay"
            )
    for path, module in kept.items():
        core.set_submodule(path, module)
    return core


@torch.inference_mode()
def check_activations(network: DualHRNet, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
    """Every layer's output fits into FP16. One that does not becomes infinite there, and what
    follows NaN, or after a ReLU on some processors 0: a map that looks like any other.

    Args:
        pairs: uint8 [H, W, 3] RGB each.
    Raises:
        ExportError: names the first layer that does not.
    """
    form = inference_form(network)
    for pair in pairs:
        corners = [torch.from_numpy(each[:_SEEN, :_SEEN].copy())[None] for each in pair]
        _Peak(form, garbage_collect_values=True).run(
            *[normalise(each, network.config) for each in corners]
        )


class _Peak(fx.Interpreter):
    def run_node(self, node: fx.Node) -> Any:
        value = super().run_node(node)
        if isinstance(value, Tensor) and value.is_floating_point():
            peak = value.abs().amax().item()
            if not peak <= LARGEST:
                layer = str(node.target).removeprefix(_TRACED)
                raise ExportError(
                    f"{layer}: its output reaches {peak:g}, FP16 ends at {LARGEST:g}; nothing was "
                    "written, use --fp32, or another checkpoint"
                )
        return value

"""The network in FP16, with what must not be rounded left as it is."""

from __future__ import annotations

import copy

import torch
from torch import fx, nn

from export.rewrites.channel_dot import ChannelDot
from runtime.errors import ExportError

KEPT_FP32: tuple[type[nn.Module], ...] = (ChannelDot,)
"""It makes logits, which FP16 would round: those around 200 to eighths, and with them the
borders between classes."""


def to_half(core: fx.GraphModule) -> fx.GraphModule:
    """`core.half()`, in place, but for modules of the kinds in `KEPT_FP32`.

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
        if name.endswith(".scale") and not tensor.all():
            raise ExportError(
                f"{name}: an INT8 range so small that FP16 makes its step 0; export with --fp32, "
                "or calibrate on other tiles"
            )
        if not tensor.isfinite().all() and not name.startswith(tuple(f"{path}." for path in kept)):
            raise ExportError(
                f"{name} has values beyond {torch.finfo(torch.half).max:g}, FP16's largest, once "
                "batch norm is folded into it; export with --fp32, or train with more weight decay"
            )
    for path, module in kept.items():
        core.set_submodule(path, module)
    return core

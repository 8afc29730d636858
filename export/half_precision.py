"""The network in FP16, with what must not be rounded left as it is."""

from __future__ import annotations

import copy

from torch import fx, nn

from export.rewrites.channel_dot import ChannelDot

KEPT_FP32: tuple[type[nn.Module], ...] = (ChannelDot,)
"""It makes logits, which FP16 would round: those around 200 to eighths, and with them the
borders between classes."""


def to_half(core: fx.GraphModule) -> fx.GraphModule:
    """`core.half()`, in place, but for modules of the kinds in `KEPT_FP32`."""
    kept = {
        path: copy.deepcopy(module)
        for path, module in core.named_modules()
        if isinstance(module, KEPT_FP32)
    }
    core.half()
    for path, module in kept.items():
        core.set_submodule(path, module)
    return core

"""The network as INT8 rounds it, in PyTorch: scored before any engine exists."""

from __future__ import annotations

import copy
from collections.abc import Collection

import numpy as np
import torch
from torch import fx

from train.gpu_memory import room_for
from train.inference import Maps, Runner
from train.model.config import ModelConfig
from train.model.decode import decode
from train.model.dual_hrnet import normalise
from train.model.hrnet import upsample
from train.quantisation.fake import Form, Range, quantise
from train.quantisation.placement import convolutions
from train.quantisation.units import units


def network_units(form: fx.GraphModule) -> list[str]:
    """Every unit with a convolution to quantise, in order of execution."""
    called = [str(node.target) for node in form.graph.nodes if node.op == "call_module"]
    quantised = convolutions(form)
    return units(path for path in called if path in quantised)


def rounded(
    form: fx.GraphModule,
    ranges: dict[str, Range],
    activations: Form,
    high_precision: Collection[str] = (),
    scales: torch.dtype = torch.float32,
) -> fx.GraphModule:
    """A quantised copy of an `inference_form`; units of `high_precision` stay as they are."""
    copied = copy.deepcopy(form)
    return quantise(copied, ranges, activations, high_precision, scales=scales)


def runner(core: fx.GraphModule, config: ModelConfig, threshold: float) -> Runner:
    """Maps of one pair by a traced core, decoded as the deploy graph does."""
    device = next(core.buffers(), next(core.parameters(), torch.empty(0))).device

    @torch.inference_mode()
    def run(pre: np.ndarray, post: np.ndarray) -> Maps:
        height, width = pre.shape[:2]
        with room_for(f"a pair of {height}x{width}", "compare on the processor (--device cpu)"):
            pair = [torch.from_numpy(np.ascontiguousarray(i))[None].to(device) for i in (pre, post)]
            full = upsample(core(*[normalise(image, config) for image in pair]), 4)
            damage, building, confidence = decode(full[:, :1], full[:, 1:], threshold)
        return tuple(each[0].cpu().numpy() for each in (damage, building, confidence))

    return run

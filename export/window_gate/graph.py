"""The deploy graph of a gate: two uint8 images in, where buildings are out, on coarser pixels."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from export.deploy import DeployGraph, DeployOptions
from export.tta import NO_TTA
from runtime.manifest import STRIDE
from train.model import DualHRNet
from train.model.inference_form import inference_form

REDUCTIONS = (4, 2, 1)
"""Pixels, in each direction, that may become one. The least scale of training is a quarter."""


class GateGraph(DeployGraph):
    """The contract of every engine, of which the building probability alone is computed.

    `reduction` pixels, in each direction, are averaged before the network sees them. `damage` is 1
    where the probability reaches the threshold, and `confidence` that of the more likely one of
    "building" and "no building". A logit stands for 4 x reduction pixels a side.
    """

    def __init__(self, network: DualHRNet, options: DeployOptions, reduction: int) -> None:
        super().__init__(building_form(network), network, options)
        self.reduction = reduction

    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, ...]:
        images = self._reduced(pre), self._reduced(post)
        logits = self.core(*images).float()
        building = torch.sigmoid(logits)
        found = logits >= math.log(self.threshold / (1 - self.threshold))
        confidence = torch.where(found, building, 1.0 - building)
        coarse = torch.cat(
            [found.float(), *(torch.round(x * 255.0) for x in (building, confidence))], 1
        )
        maps = F.interpolate(coarse, scale_factor=4 * self.reduction, mode="nearest")
        # Apart first: TensorRT takes uint8 as a network output and nowhere before.
        return tuple(each.to(torch.uint8) for each in maps.unbind(1))

    def _reduced(self, image: Tensor) -> Tensor:
        x = self._normalise(image)
        return F.avg_pool2d(x, self.reduction) if self.reduction > 1 else x


def building_form(network: DualHRNet) -> fx.GraphModule:
    """`inference_form` without the damage: [N, 1, H/4, W/4]."""
    form = inference_form(network)
    (output,) = form.graph.find_nodes(op="output")
    (both,) = output.args
    building, _ = both.args[0]
    output.args = (building,)
    form.graph.eliminate_dead_code()
    form.delete_all_unused_submodules()
    form.recompile()
    return form


def gate_options(options: DeployOptions) -> DeployOptions:
    """Those of the engine for its gate: half precision where the engine computes in it."""
    precision = "fp16" if options.half else "fp32"
    return replace(
        options, precision=precision, rewrites=(), convolved_upsampling=False, tta=NO_TTA,
        high_precision=(),
    )  # fmt: skip


def reduction_of(scale: tuple[float, ...] | None, height: int, width: int) -> int:
    """The most that pixels may be reduced for a network that was trained at `scale`, least and
    largest, where an engine maps at 1; windows stay whole. 1 where it is not recorded."""
    least = min(scale) if scale else 1.0
    whole = (r for r in REDUCTIONS if height % (STRIDE * r) == width % (STRIDE * r) == 0)
    return next((r for r in whole if r * least <= 1), 1)

"""What the losses of one optimiser step are divided by.

A step's pairs may be spread over forward passes and over ranks. A mean of means would
weigh pairs differently in every arrangement; so each forward pass adds its share of sums
that are taken over all of them, and the shares add up to the loss of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from runtime.damage import BACKGROUND, IGNORE
from train.config import LossConfig
from train.model.decode import building_logit, full_precision


@dataclass(frozen=True)
class StepSums:
    """Sums over every pair of an optimiser step; float64 scalars.

    images, pixels: how many there are.
    building_pixels: of the localization target.
    class_mass, scale_mass: class weights of the judged pixels, with background and without.
    footprint_pixels: of the damage target, un-classified ones too.
    overlap, predicted: Dice's sums of p x target and of p; None where Dice has no share.
    parts: forward passes that the step is made of, on all ranks.
    """

    images: Tensor
    pixels: Tensor
    building_pixels: Tensor
    class_mass: Tensor
    scale_mass: Tensor
    footprint_pixels: Tensor
    overlap: Tensor | None = None
    predicted: Tensor | None = None
    parts: int = 1


def target_sums(building: Tensor, damage: Tensor, config: LossConfig) -> Tensor:
    """The first six of `StepSums` for one forward pass, float64 [6].

    building, damage: uint8 [N, H, W].
    """
    weights = building.new_tensor(config.class_weights, dtype=torch.float64)
    histogram = torch.bincount(damage.flatten().long(), minlength=IGNORE + 1).double()
    judged = histogram[: len(weights)] * weights
    sums = [
        building.new_tensor(len(building), dtype=torch.float64),
        building.new_tensor(building.numel(), dtype=torch.float64),
        (building > 0).sum().double(),
        judged.sum(),
        judged[BACKGROUND + 1 :].sum(),
        building.numel() - histogram[BACKGROUND],
    ]
    return torch.stack(sums)


@torch.no_grad()
def dice_sums(logits: Tensor, target: Tensor) -> Tensor:
    """Overlap and predicted mass of one forward pass, float64 [2].

    logits: float [N, 1 or 2, H, W]; target: uint8 [N, H, W], 0 or 1.
    """
    probability = torch.sigmoid(full_precision(building_logit(logits)[:, 0])).double()
    return torch.stack([(probability * target).sum(), probability.sum()])

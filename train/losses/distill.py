"""What a student owes its teacher (Hinton et al., "Distilling the Knowledge", 2015)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from runtime.damage import BACKGROUND
from train.losses.sums import StepSums, full_precision
from train.model.decode import building_logit, class_logits


def teacher_loss(
    student: tuple[Tensor, Tensor],
    teacher: tuple[Tensor, Tensor],
    damage: Tensor,
    temperature: float,
    sums: StepSums,
) -> Tensor:
    """Softened building probability everywhere, softened damage classes on the footprints.

    Both networks are compared as what they decide: one building logit and the logits of
    classes 1..4, whatever their heads look like.

    student, teacher: building and damage logits [N, channels, H, W].
    damage: uint8 [N, H, W]; un-classified footprints count, the teacher has a view of them.
    """
    softness = temperature**2  # keeps gradients of one size at every temperature
    logit, guide = (
        full_precision(building_logit(each[0])) / temperature for each in (student, teacher)
    )
    building = F.binary_cross_entropy_with_logits(logit, torch.sigmoid(guide), reduction="sum")
    footprint = damage != BACKGROUND
    scale, guide = (
        full_precision(class_logits(each[1])).permute(0, 2, 3, 1)[footprint] / temperature
        for each in (student, teacher)
    )
    divergence = F.kl_div(
        F.log_softmax(scale, 1), F.log_softmax(guide, 1), reduction="sum", log_target=True
    )
    pixels, footprints = sums.pixels, sums.footprint_pixels.clamp(min=1)
    return softness * (building / pixels.to(logit.dtype) + divergence / footprints.to(logit.dtype))

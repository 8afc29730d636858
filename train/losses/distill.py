"""What a student owes its teacher (Hinton et al., "Distilling the Knowledge", 2015)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from runtime.damage import BACKGROUND
from train.config import LossConfig
from train.losses.sums import StepSums
from train.model.decode import building_logit, class_logits, full_precision


def teacher_loss(
    student: tuple[Tensor, Tensor],
    teacher: tuple[Tensor, Tensor],
    damage: Tensor,
    config: LossConfig,
    temperature: float,
    sums: StepSums,
) -> Tensor:
    """The teacher's building probability everywhere, its softened damage classes on footprints.

    Both networks are compared as what they decide: one building logit and the logits of
    classes 1..4, whatever their heads look like; the two parts weigh what they weigh in the
    labels' loss. The building probability is not softened: most pixels are ground, and their
    softened logits would outweigh everything else.

    student, teacher: building and damage logits [N, channels, H, W].
    damage: uint8 [N, H, W]; un-classified footprints count, the teacher has a view of them.
    """
    logit, guide = (full_precision(building_logit(each[0])) for each in (student, teacher))
    entropy = F.binary_cross_entropy_with_logits(logit, torch.sigmoid(guide), reduction="sum")
    footprint = damage != BACKGROUND
    scale, guide = (
        full_precision(class_logits(each[1])).permute(0, 2, 3, 1)[footprint] / temperature
        for each in (student, teacher)
    )
    divergence = F.kl_div(
        F.log_softmax(scale, 1), F.log_softmax(guide, 1), reduction="sum", log_target=True
    )
    # The square keeps gradients of one size at every temperature.
    divergence = temperature**2 * divergence / sums.footprint_pixels.clamp(min=1).to(logit.dtype)
    entropy = entropy / sums.pixels.to(logit.dtype)
    return config.building_weight * entropy + config.damage_weight * divergence

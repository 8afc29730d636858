"""What training minimises: 0.3 x (BCE + Dice) of buildings + 0.7 x weighted CE of damage."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from runtime.damage import IGNORE
from train.config import LossConfig
from train.model.decode import building_logit


def building_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Half binary cross-entropy, half Dice.

    Args:
        logits: float [N, 1 or 2, H, W].
        target: uint8 [N, H, W], 0 or 1.
    """
    logit = building_logit(logits)[:, 0]
    truth = target.to(logit.dtype)
    entropy = F.binary_cross_entropy_with_logits(logit, truth)
    probability = torch.sigmoid(logit)
    overlap = (probability * truth).sum()
    # + 1 keeps a batch without buildings finite, and rewards predicting none there.
    dice = 1 - (2 * overlap + 1) / (probability.sum() + truth.sum() + 1)
    return 0.5 * entropy + 0.5 * dice


def damage_loss(logits: Tensor, target: Tensor, class_weights: tuple[float, ...]) -> Tensor:
    """Class-weighted cross-entropy; pixels marked IGNORE do not count.

    Args:
        logits: float [N, 5 or 4, H, W]; with 4 channels there is no background class and
            only building pixels are learnt from.
        target: uint8 [N, H, W], 0..4 or 255.
        class_weights: one per class 0..4.
    """
    weights = torch.tensor(class_weights, dtype=logits.dtype, device=logits.device)
    truth = target.long()
    if logits.shape[1] == 4:
        weights = weights[1:]
        truth = torch.where((truth == 0) | (truth == IGNORE), IGNORE, truth - 1)
    total = F.cross_entropy(logits, truth, weights, ignore_index=IGNORE, reduction="sum")
    counted = truth != IGNORE
    # Not the built-in mean: it is 0 / 0 for a batch in which nothing counts.
    mass = weights[truth.clamp(max=len(weights) - 1)][counted].sum()
    return total / mass.clamp(min=1.0)


def total_loss(
    outputs: tuple[Tensor, Tensor], building: Tensor, damage: Tensor, config: LossConfig
) -> dict[str, Tensor]:
    """`loss` to minimise, and its parts."""
    parts = {
        "building": building_loss(outputs[0], building),
        "damage": damage_loss(outputs[1], damage, config.class_weights),
    }
    total = config.building_weight * parts["building"] + config.damage_weight * parts["damage"]
    return {"loss": total, **parts}

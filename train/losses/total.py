"""One forward pass's share of the loss of an optimiser step, with its parts."""

from __future__ import annotations

from torch import Tensor

from train.config import DistillConfig, LossConfig
from train.losses import building as of_building
from train.losses import damage as of_damage
from train.losses.distill import teacher_loss
from train.losses.sums import StepSums
from train.model.decode import building_logit, full_precision


def step_losses(
    outputs: tuple[Tensor, Tensor],
    building: Tensor,
    damage: Tensor,
    config: LossConfig,
    sums: StepSums,
    teacher: tuple[tuple[Tensor, Tensor], DistillConfig] | None = None,
) -> dict[str, Tensor]:
    """`loss` to minimise, and its parts `building`, `damage` and, with one, `teacher`.

    Added up over the step's forward passes and ranks they are the loss of the step.

    outputs: building and damage logits, float [N, channels, H, W].
    building, damage: uint8 targets [N, H, W].
    teacher: the teacher's outputs for the same images, and what they weigh.
    """
    parts = {
        "building": building_share(outputs[0], building, config, sums),
        "damage": damage_share(outputs[1], damage, config, sums),
    }
    total = config.building_weight * parts["building"] + config.damage_weight * parts["damage"]
    if teacher:
        guide, distill = teacher
        parts["teacher"] = teacher_loss(outputs, guide, damage, config, distill.temperature, sums)
        total = total + distill.weight * parts["teacher"]
    return {"loss": total, **parts}


def building_share(logits: Tensor, target: Tensor, config: LossConfig, sums: StepSums) -> Tensor:
    logit = full_precision(building_logit(logits)[:, 0])
    shares = config.building
    terms = [
        (shares.cross_entropy, lambda: of_building.cross_entropy(logit, target, sums)),
        (shares.dice, lambda: of_building.dice(logit, target, sums)),
        (shares.lovasz, lambda: of_building.lovasz(logit, target, sums)),
    ]
    return sum((share * term() for share, term in terms if share), start=0 * logit.sum())


def damage_share(logits: Tensor, target: Tensor, config: LossConfig, sums: StepSums) -> Tensor:
    logits = full_precision(logits)
    weights = logits.new_tensor(config.class_weights)
    shares, gamma = config.damage, config.focal_gamma
    terms = [
        (shares.cross_entropy, lambda: of_damage.cross_entropy(logits, target, weights, sums)),
        (shares.focal, lambda: of_damage.focal(logits, target, weights, gamma, sums)),
        (shares.lovasz, lambda: of_damage.lovasz(logits, target, sums)),
        (shares.ordinal, lambda: of_damage.ordinal(logits, target, weights, sums)),
    ]
    return sum((share * term() for share, term in terms if share), start=0 * logits.sum())

"""What fitting to corrections minimises.

A building counts as one, whatever its size: a person judges buildings, and so does the score.
Where nothing is corrected the network is to decide as it did (Hinton et al., 2015; Li and Hoiem,
"Learning without Forgetting", 2016): predictions are no truth, so they weigh less.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from train.adaptation.examples import BUILDING, DAMAGE


@dataclass(frozen=True)
class Weights:
    """Of the parts of the loss. keep_damage: on buildings that nobody corrected."""

    damage: float = 1.0
    building: float = 0.3
    keep_building: float = 1.0
    keep_damage: float = 0.1


def loss_of(
    logits: Tensor,
    before: Tensor,
    owner: Tensor,
    known: Tensor,
    classes: Tensor,
    class_weights: Tensor,
    weights: Weights,
) -> Tensor:
    """A scalar.

    Args:
        logits: float32 [N, 5, S, S], see `examples.decided`; `before`: those of the network
            before it was fitted.
        owner: int64 [N, S, S], see `targets.owners`. known: bool [N, S, S].
        classes: int64 [corrections], 0..4 or 255. class_weights: float [5].
    """
    numbers = owner.abs()
    corrected = owner != 0
    building = F.binary_cross_entropy_with_logits(
        logits[:, 0][corrected], (owner[corrected] > 0).to(logits.dtype), reduction="none"
    )
    total = weights.building * _by_building(building, numbers[corrected], len(classes)).mean()
    judged = owner > 0
    truth = classes[(numbers - 1).clamp(min=0)]
    judged &= (truth >= 1) & (truth <= 4)
    if judged.any():
        scale = logits[:, DAMAGE].permute(0, 2, 3, 1)[judged]
        errors = F.cross_entropy(scale, truth[judged] - 1, reduction="none")
        there = numbers[judged]
        per = _by_building(errors, there, len(classes))
        share = class_weights[classes[torch.unique(there) - 1]]
        total = total + weights.damage * (per * share).sum() / share.sum()
    return total + _kept(logits, before, known & ~corrected, weights)


def _by_building(errors: Tensor, owner: Tensor, count: int) -> Tensor:
    """The mean error of each building that has a pixel, in order of its number."""
    sums = errors.new_zeros(count + 1).index_add(0, owner, errors)
    pixels = torch.bincount(owner, minlength=count + 1)
    there = pixels > 0
    return sums[there] / pixels[there]


def _kept(logits: Tensor, before: Tensor, rest: Tensor, weights: Weights) -> Tensor:
    """How far the network is from what it decided, over pixels that nobody corrected."""
    was = torch.sigmoid(before[:, BUILDING])[:, 0]
    now, soft = logits[:, 0][rest], was[rest]
    entropy = F.binary_cross_entropy_with_logits(now, soft, reduction="none")
    # Less the least it can be, so that 0 is what keeping everything costs.
    least = F.binary_cross_entropy(soft, soft, reduction="none")
    pixels = rest.sum().clamp(min=1)
    kept = weights.keep_building * (entropy - least).sum() / pixels
    divergence = F.kl_div(
        F.log_softmax(logits[:, DAMAGE], 1),
        F.log_softmax(before[:, DAMAGE], 1),
        reduction="none",
        log_target=True,
    ).sum(1)
    there = was * rest
    return kept + weights.keep_damage * (divergence * there).sum() / there.sum().clamp(min=1)

"""Losses of the damage logits. Each gives this forward pass's share of the step's loss.

Pixels marked IGNORE never count. A network with 4 damage channels has no background class
and learns from footprints alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from runtime.damage import BACKGROUND, DAMAGE_CLASSES, IGNORE
from train.losses.lovasz import lovasz_error
from train.losses.sums import StepSums
from train.model.decode import class_logits

_SCALE = len(DAMAGE_CLASSES)


def cross_entropy(logits: Tensor, target: Tensor, weights: Tensor, sums: StepSums) -> Tensor:
    """Class-weighted cross-entropy, the weighted mean over judged pixels.

    logits: float [N, 5 or 4, H, W]; target: uint8 [N, H, W], 0..4 or 255;
    weights: float [5], of background and the four classes.
    """
    truth, weights = _aligned(logits, target, weights)
    total = F.cross_entropy(logits, truth, weights, ignore_index=IGNORE, reduction="sum")
    return total / _mass(logits, sums)


def focal(logits: Tensor, target: Tensor, weights: Tensor, gamma: float, sums: StepSums) -> Tensor:
    """Cross-entropy x (1 - p)^gamma: what is already right counts less (Lin et al., 2017)."""
    truth, weights = _aligned(logits, target, weights)
    judged = truth != IGNORE
    surprise = F.cross_entropy(logits, truth, ignore_index=IGNORE, reduction="none")[judged]
    doubt = (1 - torch.exp(-surprise)).clamp(min=1e-12)
    total = (weights[truth[judged]] * doubt**gamma * surprise).sum()
    return total / _mass(logits, sums)


def lovasz(logits: Tensor, target: Tensor, sums: StepSums) -> Tensor:
    """Lovász-softmax over the damage classes that an image holds, the mean over images."""
    probability = torch.softmax(logits, 1)[:, -_SCALE:]
    shares = []
    for image, truth in zip(probability, target, strict=True):
        judged = truth != IGNORE
        if logits.shape[1] == _SCALE:
            judged &= truth != BACKGROUND
        classes = [value for value in DAMAGE_CLASSES if (truth == value).any()]
        for value in classes:
            there = (truth[judged] == value).to(logits.dtype)
            errors = (there - image[value - 1][judged]).abs()
            shares.append(lovasz_error(errors, there) / len(classes))
    total = torch.stack(shares).sum() if shares else 0 * logits.sum()
    return total / sums.images.to(logits.dtype)


def ordinal(logits: Tensor, target: Tensor, weights: Tensor, sums: StepSums) -> Tensor:
    """Squared earth mover's distance on the damage scale (Hou et al., 2016), over footprints.

    Calling major damage minor costs less than calling it none: what is compared is how much
    probability lies up to each step of the scale.
    """
    judged = (target > BACKGROUND) & (target != IGNORE)
    scale = class_logits(logits).permute(0, 2, 3, 1)[judged]
    truth = target[judged].long() - 1
    predicted = torch.softmax(scale, 1).cumsum(1)
    wanted = F.one_hot(truth, _SCALE).to(logits.dtype).cumsum(1)
    distance = (predicted - wanted).square().sum(1)
    total = (weights[1:][truth] * distance).sum()
    return total / sums.scale_mass.clamp(min=1).to(logits.dtype)


def _aligned(logits: Tensor, target: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Target and weights in terms of the logits' channels; the target as int64."""
    truth = target.long()
    if logits.shape[1] > _SCALE:
        return truth, weights
    unknown = (truth == BACKGROUND) | (truth == IGNORE)
    return torch.where(unknown, IGNORE, truth - 1), weights[1:]


def _mass(logits: Tensor, sums: StepSums) -> Tensor:
    mass = sums.class_mass if logits.shape[1] > _SCALE else sums.scale_mass
    # A step in which nothing counts gives 0, not 0 / 0.
    return mass.clamp(min=1).to(logits.dtype)

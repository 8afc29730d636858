"""Losses of the localization logits. Each gives this forward pass's share of the step's loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from train.losses.lovasz import lovasz_error
from train.losses.sums import StepSums


def cross_entropy(logit: Tensor, target: Tensor, sums: StepSums) -> Tensor:
    """Binary cross-entropy, the mean over pixels. logit: float [N, H, W]; target: 0 or 1."""
    total = F.binary_cross_entropy_with_logits(logit, target.to(logit.dtype), reduction="sum")
    return total / sums.pixels.to(logit.dtype)


def dice(logit: Tensor, target: Tensor, sums: StepSums) -> Tensor:
    """1 - (2 overlap + 1) / (predicted + truth + 1) over the whole step.

    Dice is no sum over pixels. But with the step's sums known its gradient is one, and that
    is what this share carries; its value is an equal part of the step's Dice loss. The + 1
    keeps a step without buildings finite, and rewards predicting none there.
    """
    assert sums.overlap is not None
    assert sums.predicted is not None
    probability = torch.sigmoid(logit)
    overlap = (probability * target.to(logit.dtype)).sum()
    above = 2 * sums.overlap + 1
    below = sums.predicted + sums.building_pixels + 1
    slope = (above / below**2).to(logit.dtype) * probability.sum()
    slope = slope - (2 / below).to(logit.dtype) * overlap
    value = ((1 - above / below) / sums.parts).to(logit.dtype)
    return value + slope - slope.detach()


def lovasz(logit: Tensor, target: Tensor, sums: StepSums) -> Tensor:
    """Lovász extension of the Jaccard loss, an image at a time, the mean over images."""
    probability = torch.sigmoid(logit).flatten(1)
    truth = target.flatten(1).to(logit.dtype)
    shares = [
        lovasz_error((t - p).abs(), t) for p, t in zip(probability, truth, strict=True) if t.any()
    ]
    return _sum(shares, logit) / sums.images.to(logit.dtype)


def _sum(shares: list[Tensor], logit: Tensor) -> Tensor:
    return torch.stack(shares).sum() if shares else 0 * logit.sum()

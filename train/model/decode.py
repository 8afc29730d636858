"""From logits to the three maps of the deploy contract.

Training-time evaluation and every exported graph share this file, so a map means the
same everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from runtime.damage import DAMAGE_CLASSES
from runtime.errors import ConfigError


def check_threshold(threshold: float) -> None:
    """Raises: ConfigError unless the building probability lies strictly between 0 and 1."""
    if not 0 < threshold < 1:
        raise ConfigError(f"--threshold {threshold}: expected between 0 and 1")


def building_logit(logits: Tensor) -> Tensor:
    """One localization logit [N, 1, H, W]: of two softmax logits it is their difference."""
    return logits if logits.shape[1] == 1 else logits[:, 1:2] - logits[:, 0:1]


def class_logits(logits: Tensor) -> Tensor:
    """Logits of the four damage classes [N, 4, H, W]; a background class is left out."""
    return logits[:, -len(DAMAGE_CLASSES) :]


def full_precision(logits: Tensor) -> Tensor:
    """Losses and maps are taken in float32 at least, whatever the network ran in."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def decode(building: Tensor, damage: Tensor, threshold: float = 0.5) -> tuple[Tensor, ...]:
    """The maps of logits, see `decode_planes`.

    Args:
        building: float [N, 1, H, W], one localization logit.
        damage: float [N, 4, H, W], logits of classes 1..4.
    """
    return decode_planes(building[:, 0], damage.unbind(1), threshold)


def decode_planes(
    building: Tensor, damage: Sequence[Tensor], threshold: float = 0.5
) -> tuple[Tensor, ...]:
    """The maps, each uint8 [N, H, W].

    Args:
        building: float [N, H, W], the localization logit.
        damage: float [N, H, W] for each of classes 1..4, their logits.
        threshold: building probability from which a pixel is building.
    Returns:
        damage: the likeliest of classes 1..4 where building, else 0.
        building: building probability x 255, rounded.
        confidence: probability of the chosen class among 1..4 x 255 where building,
            else probability of "no building" x 255, rounded.
    """
    probability = torch.sigmoid(building)
    is_building = building >= math.log(threshold / (1 - threshold))
    # A chain of comparisons instead of argmax, and sums instead of a reduction: compilers fuse
    # them with their neighbours, and need no 64-bit indices.
    # The class values are numbers, not tensors: those a GPU would have to fetch from the host.
    first, *others = map(float, DAMAGE_CLASSES)
    best, chosen = damage[0], first
    for value, candidate in zip(others, damage[1:], strict=True):
        chosen = torch.where(candidate > best, value, chosen)
        best = torch.maximum(best, candidate)
    total = torch.exp(damage[0] - best)
    for candidate in damage[1:]:
        total = total + torch.exp(candidate - best)
    confidence = torch.where(is_building, 1.0 / total, 1.0 - probability)
    return (
        torch.where(is_building, chosen, 0.0).to(torch.uint8),
        torch.round(probability * 255.0).to(torch.uint8),
        torch.round(confidence * 255.0).to(torch.uint8),
    )

"""What adaptation learns from: windows with what is corrected in them, and what the network that
is adapted says of the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from runtime.scene.windows import Window
from runtime.source.pair import ScenePair
from train.adaptation.corrections import Correction
from train.adaptation.statistics import images
from train.adaptation.targets import owners, without
from train.adaptation.windows import Patch, read_patches
from train.model import DualHRNet
from train.model.decode import building_logit, class_logits

BUILDING, DAMAGE = slice(0, 1), slice(1, 5)
"""Channels of `decided`."""


@dataclass(frozen=True, eq=False)
class Example:
    """owner: int32 [S, S], see `targets.owners`. before: float32 [5, S/4, S/4], what the network
    decided before it was fitted, see `decided`."""

    patch: Patch
    owner: np.ndarray
    before: Tensor

    def without(self, left_out: Iterable[int]) -> Example:
        return replace(self, owner=without(self.owner, left_out))


@torch.inference_mode()
def examples_of(
    network: DualHRNet, patches: Iterable[Patch], corrections: Sequence[Correction]
) -> list[Example]:
    """network: before it is fitted, in eval mode."""
    found = []
    device = next(network.parameters()).device
    for patch in patches:
        owner = owners(corrections, patch.top, patch.left, len(patch.known), patch.known)
        before = decided(*network.coarse(*images([patch], network, device)))[0]
        found.append(Example(patch, owner, before.float().cpu().clone()))
    return found


def corrected_examples(
    network: DualHRNet,
    pair: ScenePair,
    windows: Sequence[Window],
    side: int,
    corrections: Sequence[Correction],
) -> list[Example]:
    return examples_of(network, read_patches(pair, windows, side), corrections)


def decided(building: Tensor, damage: Tensor) -> Tensor:
    """Logits as a map is decided by them, [N, 5, H, W]: building, then classes 1..4."""
    return torch.cat([building_logit(building), class_logits(damage)], 1)

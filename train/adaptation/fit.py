"""A few steps on corrected buildings, after which the network has plain weights again."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from runtime.damage import DAMAGE_CLASSES
from runtime.errors import ToolkitError
from train.adaptation.corrections import Correction
from train.adaptation.examples import Example, decided
from train.adaptation.loss import Weights, loss_of
from train.adaptation.low_rank import add_updates, merge_updates
from train.adaptation.statistics import images
from train.model import DualHRNet
from train.model.hrnet import upsample

Method = Literal["heads", "lora"]

RATES: dict[Method, float] = {"heads": 1e-3, "lora": 3e-3}


@dataclass(frozen=True)
class FitConfig:
    """method: heads: the weights of the heads; lora: low-rank updates of all convolutions.

    rate: at the beginning; it falls to 0 along a cosine.
    batch: windows a step. dtype: of the forward pass, None for float32.
    """

    method: Method = "lora"
    steps: int = 40
    rate: float = 3e-3
    rank: int = 4
    batch: int = 4
    seed: int = 0
    weights: Weights = field(default_factory=Weights)
    dtype: torch.dtype | None = None


def fit(
    network: DualHRNet,
    corrected: Sequence[Example],
    rest: Sequence[Example],
    corrections: Sequence[Correction],
    config: FitConfig,
) -> DualHRNet:
    """A copy of `network`, fitted; architecture and names of weights are the same.

    Batch norm's statistics stay as they are: those that are deployed are learnt with.

    Args:
        corrected: windows with at least one corrected pixel each.
        rest: others of the scene, in which nothing is corrected; may be empty.
        corrections: those that the windows' `owner` numbers.
    Raises:
        ToolkitError: the loss is not finite.
    """
    # The layout in which processors and GPUs convolve fastest.
    network = copy.deepcopy(network).eval().to(memory_format=torch.channels_last)
    learnt = _learnt(network, config)
    optimizer = torch.optim.AdamW(learnt, config.rate, weight_decay=1e-4)
    device = next(network.parameters()).device
    classes = torch.tensor([each.damage for each in corrections], device=device)
    class_weights = _class_weights(corrected, classes.cpu().numpy()).to(device)
    random = np.random.default_rng(config.seed)
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.rate * (1 + math.cos(math.pi * step / config.steps)) / 2
        batch = _drawn(corrected, rest, config.batch, random)
        pre, post, before, owner, known = _turned(batch, network, device, random)
        with torch.autocast(device.type, config.dtype, enabled=config.dtype is not None):
            logits = decided(*network.coarse(pre, post))
        loss = loss_of(
            upsample(logits.float(), 4), upsample(before, 4), owner, known, classes,
            class_weights, config.weights,
        )  # fmt: skip
        if not loss.isfinite():
            raise ToolkitError(
                f"adaptation step {step + 1}: the loss is {loss.item()}; nothing is written, "
                "lower --rate"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
    merge_updates(network)
    return network.requires_grad_(True).to(memory_format=torch.contiguous_format)


def _learnt(network: DualHRNet, config: FitConfig) -> list[nn.Parameter]:
    if config.method == "lora":
        return add_updates(network, config.rank, config.seed)
    network.requires_grad_(False)
    network.heads.requires_grad_(True)
    return list(network.heads.parameters())


def _class_weights(corrected: Sequence[Example], classes: np.ndarray) -> Tensor:
    """float [256]: rarer classes count more, by the square root of how rare they are."""
    there = {int(n) for each in corrected for n in np.unique(each.owner[each.owner > 0])}
    counts = np.bincount(classes[[n - 1 for n in sorted(there)]], minlength=256).astype(float)
    weights = np.zeros(256)
    for value in DAMAGE_CLASSES:
        if counts[value]:
            weights[value] = 1 / math.sqrt(counts[value])
    return torch.from_numpy(weights).float()


def _drawn(
    corrected: Sequence[Example], rest: Sequence[Example], size: int, random: np.random.Generator
) -> list[Example]:
    """A quarter from the rest of the scene."""
    others = size // 4 if len(rest) else 0
    chosen = [corrected[i] for i in random.integers(len(corrected), size=size - others)]
    return chosen + [rest[i] for i in random.integers(len(rest), size=others)] if others else chosen


def _turned(
    batch: Sequence[Example], network: DualHRNet, device: torch.device, random: np.random.Generator
) -> tuple[Tensor, ...]:
    """pre, post, before, owner, known of a batch, all in one of the eight positions of a square."""
    tensors = [
        *images([each.patch for each in batch], network, device),
        torch.stack([each.before for each in batch]).to(device),
        torch.from_numpy(np.stack([each.owner for each in batch])).long().to(device),
        torch.from_numpy(np.stack([each.patch.known for each in batch])).to(device),
    ]
    turns, mirrored = int(random.integers(4)), bool(random.integers(2))
    found = [torch.rot90(each, turns, (-2, -1)) for each in tensors]
    pre, post, *targets = (each.flip(-1) if mirrored else each for each in found)
    layout = torch.channels_last
    return (
        pre.contiguous(memory_format=layout),
        post.contiguous(memory_format=layout),
        *(each.contiguous() for each in targets),
    )

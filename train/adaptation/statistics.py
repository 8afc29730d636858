"""Batch norm's statistics, estimated anew from a scene without labels.

Adaptive batch norm (Li et al., "Revisiting Batch Normalization For Practical Domain Adaptation",
2016) takes the statistics of the new images instead of the old ones. From few images they are
noisy, so both are mixed (Schneider et al., "Improving robustness against common corruptions by
covariate shift adaptation", 2020): with n windows, and a prior that counts as N of them,

    mean = N / (N + n) old + n / (N + n) new, and the variance likewise.

Weights stay as they are. Engines fold the statistics into the convolutions as they do any others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.adaptation.windows import Patch
from train.model import DualHRNet
from train.model.dual_hrnet import normalise

BATCH = 4
"""Windows in a forward pass."""


@dataclass(eq=False)
class _Moments:
    """Of one norm's input, per channel over all windows so far; float64."""

    mean: Tensor
    var: Tensor
    pixels: Tensor
    total: Tensor
    squares: Tensor


@torch.no_grad()
def estimate_statistics(network: DualHRNet, patches: Sequence[Patch], prior: float) -> float:
    """Replace the running statistics of `network` by the mixture; what n was.

    Every norm is seen as it will be computed: the norms before it already mix old statistics and
    those of the batch. A norm that both streams share takes the inputs of both. Pixels that are
    not known do not count, and n is the sum of the windows' known parts.

    Args:
        network: in eval mode; changed in place.
        prior: N, windows; 0 forgets the old statistics, infinity keeps them.
    """
    count = float(sum(each.known.mean() for each in patches))
    share = count / (count + prior) if count else 0.0
    if share == 0:
        return count
    norms = [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]
    moments = {norm: _moments(norm) for norm in norms}
    known = torch.zeros(0)

    def before(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        (x,) = inputs
        weights = F.adaptive_avg_pool2d(known, x.shape[-2:]).to(x.dtype)
        kept = moments[norm]
        pixels = weights.sum().double()
        # About the old mean, or squares of large numbers would hide their differences.
        centred = x - kept.mean.to(x.dtype)[:, None, None]
        total = (centred * weights).sum((0, 2, 3)).double()
        squares = (centred.square() * weights).sum((0, 2, 3)).double()
        kept.pixels += pixels
        kept.total += total
        kept.squares += squares
        if pixels > 0:
            _mix(norm, kept, pixels, total, squares, share)

    hooks = [norm.register_forward_pre_hook(before) for norm in norms]
    device = next(network.parameters()).device
    try:
        for begin in range(0, len(patches), BATCH):
            batch = patches[begin : begin + BATCH]
            known = torch.from_numpy(np.stack([each.known for each in batch])).float()
            known = known[:, None].to(device)
            network(*images(batch, network, device))
    finally:
        for hook in hooks:
            hook.remove()
    for norm, kept in moments.items():
        if kept.pixels > 0:
            _mix(norm, kept, kept.pixels, kept.total, kept.squares, share)
    return count


def images(patches: Sequence[Patch], network: DualHRNet, device: torch.device) -> list[Tensor]:
    """Both images of a batch as the network takes them, float [N, 3, S, S] each."""
    pairs = ([each.pre for each in patches], [each.post for each in patches])
    return [
        normalise(torch.from_numpy(np.stack(each)).to(device), network.config) for each in pairs
    ]


def _moments(norm: nn.BatchNorm2d) -> _Moments:
    mean, var = norm.running_mean.double().clone(), norm.running_var.double().clone()
    zeros = torch.zeros_like(mean)
    return _Moments(mean, var, zeros.new_zeros(()), zeros.clone(), zeros.clone())


def _mix(
    norm: nn.Module, old: _Moments, pixels: Tensor, total: Tensor, squares: Tensor, share: float
) -> None:
    shift = total / pixels
    var = (squares / pixels - shift.square()).clamp(min=0)
    norm.running_mean.copy_(old.mean + share * shift)
    norm.running_var.copy_((1 - share) * old.var + share * var)

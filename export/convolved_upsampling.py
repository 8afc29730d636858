"""Bilinear upsampling as a convolution and a shuffle, which OpenVINO does faster than Resize."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MODULE = "logits_upsampling"
"""What the deploy graph calls it; its convolution is in floating point in every engine."""


class ConvolvedUpsampling(nn.Module):
    """What `train.model.hrnet.upsample` computes, up to rounding, a channel at a time.

    Every one of the factor x factor pixels that a pixel becomes is a sum over its 3x3
    neighbourhood with fixed weights, so each is a channel of one convolution. At the border the
    nearest pixel is repeated.

    float [N, C, H, W] becomes [N, factor * H, factor * W] for each of C channels: they are taken
    apart while they are small, as OpenVINO copies what a slice takes.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor
        along = _taps(factor)
        each = along[:, None, :, None] * along[None, :, None, :]
        self.register_buffer("weight", each.reshape(-1, 1, 3, 3))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        parts = (F.conv2d(channel, self.weight) for channel in padded.split(1, 1))
        return tuple(F.pixel_shuffle(part, self.factor).squeeze(1) for part in parts)


def _taps(factor: int) -> Tensor:
    """Weights [factor, 3] of the pixel before, the pixel itself and the one behind.

    Sub-pixel i lies (i + 0.5) / factor - 0.5 pixels from the centre of its pixel.
    """
    places = (torch.arange(factor) + 0.5) / factor - 0.5
    return (1 - (places[:, None] - torch.arange(-1, 2)).abs()).clamp(min=0)

"""How features of the pre- and the post-disaster stream are brought together."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.model.blocks import conv_bn
from train.model.config import ModelConfig


class SqueezeExcitation(nn.Module):
    """A weight per channel from the whole map (Hu et al., 2018). [N, C, H, W] -> [N, C, 1, 1]."""

    def __init__(self, width: int, reduction: int = 8) -> None:
        super().__init__()
        hidden = max(width // reduction, 4)
        self.squeeze = nn.Linear(width, hidden)
        self.relu = nn.ReLU(inplace=True)
        self.excite = nn.Linear(hidden, width)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        weight = self.gate(self.excite(self.relu(self.squeeze(x.mean((2, 3))))))
        return weight[:, :, None, None]


class ResidualFusion(nn.Module):
    """gate(reduce(pair)) + 1x1(pair): [N, 2C, H, W] -> [N, C, H, W].

    The gate is squeeze-excitation; without it, `reduce(pair)` passes as it is.
    """

    def __init__(self, width: int, *, gated: bool) -> None:
        super().__init__()
        self.reduce = conv_bn(2 * width, width, 1, relu=True)
        self.se = SqueezeExcitation(width) if gated else None
        self.residual = conv_bn(2 * width, width, 1, relu=False)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, pair: Tensor) -> Tensor:
        reduced = self.reduce(pair)
        if self.se is not None:
            reduced = reduced * self.se(reduced)
        return self.relu(reduced + self.residual(pair))


def fusion(config: ModelConfig, width: int) -> nn.Module:
    """What makes one map [N, C, H, W] of a pair's two [N, 2C, H, W]."""
    if config.architecture == "si-analytics" or config.fusion == "conv":
        return conv_bn(2 * width, width, 1, relu=True)
    return ResidualFusion(width, gated=config.squeeze_excitation)


class PairFusion(nn.Module):
    """One fused map a branch, from both streams."""

    def __init__(self, config: ModelConfig, stage: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(fusion(config, w) for w in config.branch_widths(stage))

    def forward(self, pre: list[Tensor], post: list[Tensor]) -> list[Tensor]:
        pairs = zip(self.branches, pre, post, strict=True)
        return [fuse(torch.cat([a, b], 1)) for fuse, a, b in pairs]


class Exchange(nn.Module):
    """Each stream gets its own next input from what both have seen."""

    def __init__(self, config: ModelConfig, stage: int) -> None:
        super().__init__()
        widths = config.branch_widths(stage)
        self.to_pre = nn.ModuleList(fusion(config, width) for width in widths)
        self.to_post = nn.ModuleList(fusion(config, width) for width in widths)

    def forward(self, pre: list[Tensor], post: list[Tensor]) -> list[list[Tensor]]:
        pairs = [torch.cat([a, b], 1) for a, b in zip(pre, post, strict=True)]
        return [
            [fuse(pair) for fuse, pair in zip(fusions, pairs, strict=True)]
            for fusions in (self.to_pre, self.to_post)
        ]

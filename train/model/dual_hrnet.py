"""The dual network: both streams walked stage by stage, with exchange in between."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.model.config import ModelConfig
from train.model.exchange import Exchange
from train.model.heads import JointHeads, StreamHeads
from train.model.hrnet import HRNet, upsample


class DualHRNet(nn.Module):
    """Pre- and post-disaster image in, building and damage logits out.

    `config.architecture` chooses the exchange, the heads and the stem's order; the
    streams are the same parts in every configuration.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.pre = HRNet(config)
        self.post = HRNet(config)
        self.exchange = nn.ModuleDict(
            {f"stage{stage}": Exchange(config, stage) for stage in config.exchange_stages}
        )
        joint = config.architecture == "dual-hrnet"
        self.heads = JointHeads(config) if joint else StreamHeads(config)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = config.bn_momentum

    def coarse(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
        """Logits at stride 4, before the last upsampling.

        Args:
            pre, post: float [N, 3, H, W], normalised; H and W multiples of 32.
        Returns:
            building float [N, building_channels, H/4, W/4] and
            damage float [N, damage_channels, H/4, W/4].
        """
        before, after = [self.pre.stem(pre)], [self.post.stem(post)]
        for stage in (2, 3, 4):
            before = self.pre.enter(stage, before)
            after = self.post.enter(stage, after)
            if f"stage{stage}" in self.exchange:
                before, after = self.exchange[f"stage{stage}"](before, after)
            before = self.pre.run(stage, before)
            after = self.post.run(stage, after)
        return self.heads(before, after)

    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
        """Like `coarse`, with the logits upsampled bilinearly to [N, ..., H, W]."""
        building, damage = self.coarse(pre, post)
        return upsample(building, 4), upsample(damage, 4)


def build_network(config: ModelConfig, seed: int | None = None) -> DualHRNet:
    """A freshly initialised network (He initialisation), reproducible with `seed`."""
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        network = DualHRNet(config)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def normalise(image: Tensor, config: ModelConfig) -> Tensor:
    """uint8 RGB [N, H, W, 3] -> float [N, 3, H, W], scaled to 0..1, minus mean, over std."""
    mean = torch.tensor(config.mean, device=image.device)
    std = torch.tensor(config.std, device=image.device)
    scaled = (image.float() / 255.0 - mean) / std
    return scaled.permute(0, 3, 1, 2).contiguous()

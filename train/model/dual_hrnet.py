"""The dual network: both streams walked stage by stage, with exchange in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from train.model.config import ModelConfig
from train.model.exchange import Exchange
from train.model.heads import JointHeads, StreamHeads
from train.model.hrnet import HRNet, upsample
from train.model.recompute import recomputed

T = TypeVar("T")


class DualHRNet(nn.Module):
    """Pre- and post-disaster image in, building and damage logits out.

    `config.architecture` chooses the exchange, the heads and the stem's order; the
    streams are the same parts in every configuration. `config.streams` says how many
    there are: `pre` is the only one of a siamese network, which takes both images in
    turn, and of a single stream, which takes them at once.

    `recompute` trades time for memory in training: activations are computed again in
    the backward pass instead of being kept (see `train.model.recompute`).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.recompute = False
        self.pre = HRNet(config)
        self.post = HRNet(config) if config.streams == "dual" else None
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
        if self.config.streams == "single":
            streams, images = [self.pre], [torch.cat([pre, post], 1)]
        else:
            streams, images = [self.pre, self.post or self.pre], [pre, post]
        stems = [self._run(s, s.stem, image) for s, image in zip(streams, images, strict=True)]
        features = [[self._chain(s.layer1, x)] for s, x in zip(streams, stems, strict=True)]
        for stage in (2, 3, 4):
            features = [s.enter(stage, f) for s, f in zip(streams, features, strict=True)]
            if f"stage{stage}" in self.exchange:
                exchange = self.exchange[f"stage{stage}"]
                features = self._run(exchange, exchange, *features)
            features = [
                self._chain(s.stage(stage), f) for s, f in zip(streams, features, strict=True)
            ]
        return self._run(self.heads, self.heads, *features)

    def _chain(self, modules: nn.Sequential, x: T) -> T:
        for module in modules:
            x = self._run(module, module, x)
        return x

    def _run(self, part: nn.Module, work: Callable[..., T], *inputs: object) -> T:
        """`work(*inputs)`, which is done by `part`."""
        if self.recompute and self.training:
            return recomputed(part, work, *inputs)
        return work(*inputs)

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

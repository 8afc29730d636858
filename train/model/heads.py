"""From four branches to logits at stride 4."""

from __future__ import annotations

from torch import Tensor, nn

from train.model.blocks import conv_bn
from train.model.config import ModelConfig
from train.model.exchange import PairFusion
from train.model.hrnet import upsample


class PyramidProjection(nn.Module):
    """A 1x1 convolution of the upsampled, concatenated branches, done before upsampling.

    The two are equal in real arithmetic, because a 1x1 convolution commutes with
    bilinear upsampling; this way round each branch is projected at its own size.
    """

    def __init__(self, widths: list[int], outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(width, outputs, 1, bias=branch == 0) for branch, width in enumerate(widths)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        total = self.branches[0](features[0])
        for branch in range(1, len(features)):
            total = total + upsample(self.branches[branch](features[branch]), 1 << branch)
        return total


class JointHeads(nn.Module):
    """The native heads: fuse the streams once more, project, then one head a task.

    A single stream holds both images already, so there is nothing to fuse.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.fuse = PairFusion(config, 4) if config.streams != "single" else None
        self.project = PyramidProjection(config.branch_widths(4), config.projection)
        self.bn = nn.BatchNorm2d(config.projection)
        self.relu = nn.ReLU(inplace=True)
        self.building = _head(config, config.building_channels)
        self.damage = _head(config, config.damage_channels)

    def forward(self, *streams: list[Tensor]) -> tuple[Tensor, Tensor]:
        features = streams[0] if self.fuse is None else self.fuse(*streams)
        x = self.relu(self.bn(self.project(features)))
        return self.building(x), self.damage(x)


def _head(config: ModelConfig, outputs: int) -> nn.Sequential:
    first, second = config.head_widths
    return nn.Sequential(
        conv_bn(config.projection, first, 3, relu=True),
        conv_bn(first, second, 3, relu=True),
        nn.Conv2d(second, outputs, 1),
    )


class StreamHead(nn.Module):
    """The published network's head of one stream: project, batch norm, ReLU, 1x1."""

    def __init__(self, config: ModelConfig, outputs: int) -> None:
        super().__init__()
        widths = config.branch_widths(4)
        self.project = PyramidProjection(widths, sum(widths))
        self.bn = nn.BatchNorm2d(sum(widths))
        self.relu = nn.ReLU(inplace=True)
        self.classify = nn.Conv2d(sum(widths), outputs, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        return self.classify(self.relu(self.bn(self.project(features))))


class StreamHeads(nn.Module):
    """Buildings from the pre stream, damage from the post stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.building = StreamHead(config, config.building_channels)
        self.damage = StreamHead(config, config.damage_channels)

    def forward(self, pre: list[Tensor], post: list[Tensor]) -> tuple[Tensor, Tensor]:
        return self.building(pre), self.damage(post)

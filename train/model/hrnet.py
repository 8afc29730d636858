"""One HRNetV2 stream: stem, layer1 and three stages of parallel resolutions.

Wang et al., "Deep High-Resolution Representation Learning for Visual Recognition"
(2020). Parameter names are the official ones, so that published weights load.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from train.model.blocks import BasicBlock, Bottleneck, conv_bn
from train.model.config import ModelConfig


def upsample(x: Tensor, factor: int) -> Tensor:
    """Bilinear, align_corners=False: the rule of HRNet's segmentation networks."""
    return F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)


class HighResolutionModule(nn.Module):
    """A few blocks on each branch, then every branch receives every other."""

    def __init__(self, widths: list[int], blocks: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*[BasicBlock(width) for _ in range(blocks)]) for width in widths
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_exchange_path(widths, source, target) for source in range(len(widths)))
            for target in range(len(widths))
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        features = [branch(x) for branch, x in zip(self.branches, features, strict=True)]
        fused = []
        for target, paths in enumerate(self.fuse_layers):
            total = None
            for source, path in enumerate(paths):
                y = path(features[source])
                if source > target:
                    y = upsample(y, 1 << (source - target))
                total = y if total is None else total + y
            fused.append(self.relu(total))
        return fused


def _exchange_path(widths: list[int], source: int, target: int) -> nn.Module:
    """From one branch to another: 1x1 (upsampled by the caller), identity, or strided 3x3s."""
    if source == target:
        return nn.Identity()
    if source > target:
        return conv_bn(widths[source], widths[target], 1, relu=False)
    steps = target - source
    return nn.Sequential(
        *[
            conv_bn(
                widths[source],
                widths[target] if step == steps - 1 else widths[source],
                3,
                stride=2,
                relu=step < steps - 1,
            )
            for step in range(steps)
        ]
    )


class HRNet(nn.Module):
    """The parts of one stream. It has no forward of its own: the dual network walks
    both streams stage by stage, because they exchange features in between. A single
    stream takes both images at once, as six channels.

    Features are lists [N, width << b, H / (4 << b), W / (4 << b)], b = 0..3.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        stem, layer1 = config.stem_width, config.stem_width * Bottleneck.expansion
        channels = 6 if config.streams == "single" else 3
        self.relu_before_bn2 = config.architecture == "si-analytics"
        self.conv1 = nn.Conv2d(channels, stem, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.conv2 = nn.Conv2d(stem, stem, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(
            Bottleneck(stem, stem),
            *[Bottleneck(layer1, stem) for _ in range(config.bottlenecks - 1)],
        )
        two, three, four = (config.branch_widths(stage) for stage in (2, 3, 4))
        self.transition1 = nn.ModuleList(
            [
                conv_bn(layer1, two[0], 3, relu=True),
                nn.Sequential(conv_bn(layer1, two[1], 3, stride=2, relu=True)),
            ]
        )
        self.stage2 = _stage(config, 2)
        self.transition2 = _new_branch(two, three)
        self.stage3 = _stage(config, 3)
        self.transition3 = _new_branch(three, four)
        self.stage4 = _stage(config, 4)

    def stem(self, image: Tensor) -> Tensor:
        """Normalised image [N, 3 or 6, H, W] -> layer1's input [N, stem_width, H / 4, W / 4]."""
        x = self.bn1(self.conv1(image))
        if self.relu_before_bn2:
            return self.relu(self.bn2(self.relu(self.conv2(x))))
        return self.relu(self.bn2(self.conv2(self.relu(x))))

    def enter(self, stage: int, features: list[Tensor]) -> list[Tensor]:
        """Open the stage's new branch, from layer1's output or the coarsest branch so far."""
        if stage == 2:
            return [path(features[0]) for path in self.transition1]
        transition = self.transition2 if stage == 3 else self.transition3
        return [*features, transition[-1](features[-1])]

    def stage(self, stage: int) -> nn.Sequential:
        """The exchange modules of stage 2, 3 or 4."""
        return {2: self.stage2, 3: self.stage3, 4: self.stage4}[stage]


def _stage(config: ModelConfig, stage: int) -> nn.Sequential:
    widths = config.branch_widths(stage)
    return nn.Sequential(
        *[HighResolutionModule(widths, config.blocks) for _ in range(config.modules[stage - 2])]
    )


def _new_branch(before: list[int], after: list[int]) -> nn.ModuleList:
    """Existing branches pass; the new one is a strided 3x3 of the coarsest."""
    kept = [nn.Identity() for _ in before]
    return nn.ModuleList([*kept, nn.Sequential(conv_bn(before[-1], after[-1], 3, 2, relu=True))])

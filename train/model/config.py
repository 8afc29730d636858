"""What makes one Dual-HRNet differ from another, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ModelConfig(BaseModel):
    """A network's architecture. Defaults are the native network at full depth.

    `dual-hrnet` is this toolkit's own: exchange by squeeze-excitation and joint heads.
    `si-analytics` is the published xView2 5th-place network: exchange by 1x1
    convolutions, one head a stream, its own order inside the stem.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: Literal["dual-hrnet", "si-analytics"] = "dual-hrnet"
    width: int = Field(48, ge=4, description="channels of the stride-4 branch; W48 means 48")
    stem_width: int = Field(
        64, ge=4, description="channels of the stem; layer1 puts out 4x as many"
    )
    bottlenecks: int = Field(4, ge=1, description="bottleneck blocks in layer1")
    modules: tuple[int, int, int] = Field(
        (1, 4, 3), description="exchange modules in stages 2, 3 and 4"
    )
    blocks: int = Field(4, ge=1, description="basic blocks a branch in every module")
    exchange_stages: tuple[Literal[2, 3, 4], ...] = Field(
        (2, 3, 4), description="stages before which the two streams exchange features"
    )
    projection: int = Field(512, ge=8, description="channels the fused branches are projected to")
    head_widths: tuple[int, int] = Field((256, 128), description="hidden channels of each head")
    bn_momentum: float = Field(0.1, gt=0, le=1)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    @model_validator(mode="after")
    def _published_network_is_complete(self) -> ModelConfig:
        if min(self.modules) < 1:
            raise ValueError(f"modules {self.modules}: every stage needs at least one module")
        if self.architecture == "si-analytics" and self.exchange_stages != (2, 3, 4):
            raise ValueError("the si-analytics network exchanges before stages 2, 3 and 4")
        return self

    @property
    def building_channels(self) -> int:
        """Channels of the localization logits: 1 (sigmoid), or 2 (softmax) as published."""
        return 2 if self.architecture == "si-analytics" else 1

    @property
    def damage_channels(self) -> int:
        """Channels of the damage logits: with a background class (5), or without (4)."""
        return 4 if self.architecture == "si-analytics" else 5

    def branch_widths(self, stage: int) -> list[int]:
        """Channels of each branch of a stage (2, 3 or 4), finest first."""
        return [self.width << branch for branch in range(stage)]

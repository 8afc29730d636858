"""What makes one Dual-HRNet differ from another, as data."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from train.section import Section

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Several times the largest network in use. Without limits, a wrong digit, or a file that was
# altered, takes hours or all memory before anything is found to be wrong.
_WIDEST, _DEEPEST, _CHANNELS = 256, 16, 4096
_Count = Annotated[int, Field(ge=1, le=_DEEPEST)]
_Hidden = Annotated[int, Field(ge=1, le=_CHANNELS)]


class ModelConfig(Section):
    """A network's architecture. Defaults are the native network at full depth.

    `dual-hrnet` is this toolkit's own: exchange by squeeze-excitation and joint heads;
    `streams`, `exchange_stages`, `fusion` and `squeeze_excitation` take parts of it away.
    `si-analytics` is the published xView2 5th-place network: exchange by 1x1
    convolutions, one head a stream, its own order inside the stem.
    """

    architecture: Literal["dual-hrnet", "si-analytics"] = "dual-hrnet"
    streams: Literal["dual", "siamese", "single"] = Field(
        "dual",
        description="dual: a backbone for each image; siamese: one backbone, for one image after "
        "the other; single: one backbone for both images as six channels",
    )
    width: int = Field(
        48, ge=4, le=_WIDEST, description="channels of the stride-4 branch; W48 means 48"
    )
    stem_width: int = Field(
        64, ge=4, le=_WIDEST, description="channels of the stem; layer1 puts out 4x as many"
    )
    bottlenecks: int = Field(4, ge=1, le=_DEEPEST, description="bottleneck blocks in layer1")
    modules: tuple[_Count, _Count, _Count] = Field(
        (1, 4, 3), description="exchange modules in stages 2, 3 and 4"
    )
    blocks: int = Field(4, ge=1, le=_DEEPEST, description="basic blocks a branch in every module")
    exchange_stages: tuple[Literal[2, 3, 4], ...] = Field(
        (2, 3, 4),
        description="stages before which the two streams exchange features; a single stream has "
        "none to exchange with",
    )
    fusion: Literal["se-residual", "conv"] = Field(
        "se-residual",
        description="how features of both images become one: a convolution gated by "
        "squeeze-excitation plus a residual one, or a convolution with batch norm and ReLU",
    )
    squeeze_excitation: bool = Field(True, description="the gate of se-residual fusion")
    projection: int = Field(
        512, ge=8, le=_CHANNELS, description="channels the fused branches are projected to"
    )
    head_widths: tuple[_Hidden, _Hidden] = Field(
        (256, 128), description="hidden channels of each head"
    )
    bn_momentum: float = Field(0.1, gt=0, le=1)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    @model_validator(mode="before")
    @classmethod
    def _a_single_stream_exchanges_nothing(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and fields.get("streams") == "single":
            return {"exchange_stages": (), **fields}
        return fields

    @field_validator("exchange_stages")
    @classmethod
    def _stages_are_distinct(cls, stages: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(stages)) < len(stages):
            raise ValueError("expected each of 2, 3 and 4 at most once")
        return stages

    @model_validator(mode="after")
    def _every_option_has_an_effect(self) -> ModelConfig:
        if self.architecture == "si-analytics":
            options = ("streams", "exchange_stages", "fusion", "squeeze_excitation")
            self._leave_out("architecture si-analytics", options)
        elif self.streams == "single":
            if self.exchange_stages:
                raise ValueError("exchange_stages: a single stream has no other to exchange with")
            self._leave_out("streams single", ("fusion", "squeeze_excitation"))
        elif self.fusion == "conv":
            self._leave_out("fusion conv", ("squeeze_excitation",))
        return self

    def _leave_out(self, choice: str, options: tuple[str, ...]) -> None:
        for name in options:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: not an option with {choice}; leave it out")

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

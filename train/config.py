"""A training run as data, checked before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from train.data_config import DataConfig
from train.levels import AugmentConfig
from train.model.config import ModelConfig
from train.section import Section

_LARGEST_STEP = 1e30
"""Of a rate or a weight decay. Far beyond use; much more does not fit into an FP32 number."""

_LARGEST_COUNT = 1_000_000
"""Of pairs in a batch and of batches to a step; far beyond use."""


class Phase(Section):
    """Consecutive epochs under one rule for the learning rate and one augmentation level."""

    epochs: int = Field(ge=1, le=1_000_000)
    rate: float | tuple[float, float] = Field(description="learning rate, or its start and end")
    shape: Literal["linear", "cosine"] = Field("linear", description="from start to end")
    augment: Literal["light", "medium", "full"] = "full"
    synthetic: float = Field(
        0, ge=0, le=1, description="share of the crops taken from data.synthetic's scenes"
    )

    @model_validator(mode="after")
    def _rates_are_positive(self) -> Phase:
        if not all(0 < rate <= _LARGEST_STEP for rate in self.rates):
            raise ValueError(f"rate {self.rate}: expected above 0, at most {_LARGEST_STEP:g}")
        return self

    @property
    def rates(self) -> tuple[float, float]:
        """At the start and at the end."""
        return self.rate if isinstance(self.rate, tuple) else (self.rate, self.rate)


class OptimConfig(Section):
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    batch_size: int = Field(4, ge=1, le=_LARGEST_COUNT, description="pairs a rank and forward pass")
    accumulate: int = Field(
        1, ge=1, le=_LARGEST_COUNT, description="forward passes to one optimiser step"
    )
    weight_decay: float = Field(1e-4, ge=0, le=_LARGEST_STEP)
    clip_norm: float | None = Field(1.0, gt=0, description="largest gradient norm; null: no limit")
    ema: float | None = Field(
        None, gt=0, lt=1, description="decay of the averaged weights that are validated and saved"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="of the forward pass; auto: bf16 where the hardware is faster in it, else fp16 "
        "on a GPU and fp32 on a processor",
    )
    sync_batch_norm: bool = Field(False, description="statistics over all ranks; GPUs only")
    freeze_batch_norm: bool = Field(False, description="running statistics stay as they are")
    checkpointing: bool = Field(
        False, description="recompute activations stage by stage: less memory, more time"
    )
    channels_last: bool = True
    compile: bool = Field(False, description="torch.compile the network")
    save_every: int | None = Field(
        None, ge=1, description="optimiser steps between two saves; null: each epoch alone"
    )


class ValidationConfig(Section):
    """How much is validated along the way; at a run's end the exact score of its last and its
    best weights is taken, over all tiles in fp32."""

    every: int = Field(
        1, ge=1, description="epochs from one validation to the next; the last always has one"
    )
    tiles: int | None = Field(
        None,
        ge=1,
        description="tiles of val_split, the same each time, of every disaster and damage class "
        "in proportion; null: all",
    )
    precision: Literal["fp32", "training"] = Field(
        "fp32", description="of the forward pass; training: that of optim.precision, faster"
    )


class BuildingTerms(Section):
    """Shares of the localization loss."""

    cross_entropy: float = Field(0.5, ge=0)
    dice: float = Field(0.5, ge=0)
    lovasz: float = Field(0, ge=0)


class DamageTerms(Section):
    """Shares of the damage loss."""

    cross_entropy: float = Field(1, ge=0)
    focal: float = Field(0, ge=0)
    lovasz: float = Field(0, ge=0)
    ordinal: float = Field(0, ge=0, description="grows with the distance on the damage scale")


class LossConfig(Section):
    building_weight: float = Field(0.3, ge=0)
    damage_weight: float = Field(0.7, ge=0)
    building: BuildingTerms = BuildingTerms()
    damage: DamageTerms = DamageTerms()
    class_weights: tuple[float, float, float, float, float] = Field(
        (1, 1.5, 2, 3, 4), description="weight of background and the four damage classes"
    )
    focal_gamma: float = Field(2, ge=0)

    @model_validator(mode="after")
    def _weights_are_usable(self) -> LossConfig:
        if min(self.class_weights) < 0 or max(self.class_weights[1:]) == 0:
            raise ValueError(
                f"class_weights {list(self.class_weights)}: expected 0 or more, a class above 0"
            )
        return self


class DistillConfig(Section):
    """Learning from a trained network's logits (Hinton et al., 2015)."""

    checkpoint: Path = Field(description="the teacher")
    weight: float = Field(0.5, gt=0, description="of the teacher's loss, added to the labels' loss")
    temperature: float = Field(2, gt=0)


class QatConfig(Section):
    """Training through the rounding of the INT8 engine, to win back what INT8 costs."""

    calibration: Path = Field(description="calibration.json of the checkpoint given as init")


SOURCE_SCHEDULE = (
    Phase(epochs=5, rate=(1e-5, 1e-3), shape="linear", augment="light"),
    Phase(epochs=70, rate=(1e-3, 1e-4), shape="cosine", augment="full"),
    Phase(epochs=15, rate=1e-4, augment="medium"),
    Phase(epochs=10, rate=1e-5, augment="light"),
)


class TrainConfig(Section):
    """The whole run. Unknown keys are errors."""

    model: ModelConfig
    init: Path | None = Field(
        None,
        description="checkpoint, or published weights of HRNetV2, that training starts from: what "
        "fits is taken; null: random weights",
    )
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    schedule: tuple[Phase, ...] = Field(SOURCE_SCHEDULE, min_length=1)
    optim: OptimConfig = OptimConfig()
    validation: ValidationConfig = ValidationConfig()
    loss: LossConfig = LossConfig()
    distill: DistillConfig | None = None
    qat: QatConfig | None = None
    seed: int = Field(0, ge=0, lt=1 << 63)

    @field_validator("qat")
    @classmethod
    def _qat_has_what_it_needs(
        cls, qat: QatConfig | None, others: ValidationInfo
    ) -> QatConfig | None:
        if qat and others.data.get("init") is None:
            raise ValueError("needs the calibrated checkpoint to start from; add init=CKPT")
        optim = others.data.get("optim")
        if qat and optim and optim.checkpointing:
            raise ValueError(
                "rounds in a graph that cannot be recomputed stage by stage; set "
                "optim.checkpointing=false (and a smaller optim.batch_size, more optim.accumulate)"
            )
        if qat and optim and optim.compile:
            raise ValueError("its rounding takes compilers very long; set optim.compile=false")
        return qat

    @model_validator(mode="after")
    def _scenes_are_drawn_and_used(self) -> TrainConfig:
        used = any(phase.synthetic for phase in self.schedule)
        if used != (self.data.synthetic is not None):
            raise ValueError(
                "schedule: a phase takes a share of its crops from synthetic scenes, and there "
                "are none; add data.synthetic={tiles: N}"
                if used
                else "data.synthetic: no phase of the schedule takes a share of its crops from "
                "these scenes; set schedule.0.synthetic=0.5, or leave them out"
            )
        smallest = self.data.windows[0]
        if self.data.synthetic and self.data.synthetic.size < smallest:
            raise ValueError(
                f"data.synthetic.size {self.data.synthetic.size}: smaller than a crop's window, "
                f"expected {smallest} or more"
            )
        return self

    @model_validator(mode="after")
    def _something_is_learnt(self) -> TrainConfig:
        loss = self.loss
        building = loss.building_weight * sum(loss.building.model_dump().values())
        damage = loss.damage_weight * sum(loss.damage.model_dump().values())
        if self.distill is None and building == damage == 0:
            raise ValueError(
                "loss: its weights leave nothing to learn from; expected building_weight or "
                "damage_weight above 0, and a share of that loss too"
            )
        return self

    @property
    def epochs(self) -> int:
        return sum(phase.epochs for phase in self.schedule)

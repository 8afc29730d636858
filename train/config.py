"""A training run as data: one YAML file, checked before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtime.errors import ConfigError
from runtime.manifest import STRIDE
from train.model.config import ModelConfig


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Section):
    train_split: str = "train"
    val_split: str = "test"
    crop: int = Field(512, ge=64, multiple_of=STRIDE, description="side of a training crop, pixels")
    crops_per_tile: int = Field(1, ge=1, description="crops taken of each tile an epoch")
    building_crops: float = Field(
        0.5, ge=0, le=1, description="share of crops centred on a building, damaged ones first"
    )
    cache: bool = Field(False, description="keep decoded tiles in memory")
    workers: int = Field(2, ge=0, description="loader processes a rank")


class AugmentConfig(_Section):
    geometry: bool = Field(True, description="flips and quarter turns, shared by the pair")
    photometry: float = Field(0.2, ge=0, le=1, description="brightness and contrast, each image")
    shift: int = Field(3, ge=0, description="extra misregistration of the post image, pixels")


class OptimConfig(_Section):
    epochs: int = Field(100, ge=1)
    batch_size: int = Field(4, ge=1, description="pairs a rank")
    learning_rate: float = Field(1e-3, gt=0)
    min_learning_rate: float = Field(1e-5, ge=0)
    warmup_epochs: float = Field(5, ge=0)
    weight_decay: float = Field(1e-4, ge=0)
    clip_norm: float = Field(1.0, gt=0)


class LossConfig(_Section):
    building_weight: float = Field(0.3, ge=0)
    damage_weight: float = Field(0.7, ge=0)
    class_weights: tuple[float, float, float, float, float] = Field(
        (1, 1.5, 2, 3, 4), description="cross-entropy weight of background and the four classes"
    )


class TrainConfig(_Section):
    """The whole run. Unknown keys are errors."""

    model: ModelConfig
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    optim: OptimConfig = OptimConfig()
    loss: LossConfig = LossConfig()
    seed: int = 0


def load_config(path: Path, overrides: list[str] | None = None) -> TrainConfig:
    """Read a YAML file and apply `section.key=value` overrides (values are YAML).

    Raises:
        ConfigError: names the file, the key, what was found and what is allowed.
    """
    try:
        content = yaml.safe_load(Path(path).read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such config; see train/configs/") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML ({error})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of sections (model, data, optim, ...)")
    for override in overrides or []:
        _apply(content, override)
    return parse_config(content, str(path))


def parse_config(content: dict[str, Any], source: str) -> TrainConfig:
    try:
        return TrainConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{source}: {describe(error)}") from error


def describe(error: ValidationError) -> str:
    """pydantic's findings on one line: `key: what is wrong`."""
    findings = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"]) or "config"
        found = "" if item["type"] == "missing" else f" (found {item['input']!r})"
        message = "unknown key" if item["type"] == "extra_forbidden" else item["msg"]
        findings.append(f"{key}: {message}{found}")
    return "; ".join(findings)


def _apply(content: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"override {override!r}: expected key=value, such as optim.epochs=10")
    *sections, last = key.split(".")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise ConfigError(f"override {override!r}: {section} is not a section")
    try:
        content[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"override {override!r}: value is not YAML") from error

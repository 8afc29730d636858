"""From a YAML file and overrides to a configuration, or one line that says what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from runtime.errors import ConfigError
from train.config import TrainConfig
from train.scales import require_native_scale
from train.section import describe
from train.shipped import find_config
from train.yaml_text import parse_yaml


def load_config(path: Path, overrides: list[str] | None = None) -> TrainConfig:
    """Read a YAML file, or a shipped one by its name, and apply `section.key=value` overrides
    (values are YAML).

    Raises:
        ConfigError: names the file, the key, what was found and what is allowed; or that no crop
            would have the scale that the network is used at.
    """
    text = find_config(Path(path)).read_bytes()
    content = parse_yaml(text, str(path))
    if not isinstance(content, dict):
        found = "nothing" if content is None else f"a {type(content).__name__}"
        raise ConfigError(
            f"{path}: expected a mapping of sections (model, data, optim, ...), found {found}"
        )
    for override in overrides or []:
        _apply(content, override)
    config = parse_config(content, str(path))
    require_native_scale(config, str(path))
    return config


def parse_config(content: dict[str, Any], source: str) -> TrainConfig:
    try:
        return TrainConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{source}: {describe(error)}") from error


def _apply(content: dict[str, Any], override: str) -> None:
    """Set one key; a number names an item of a list, as in schedule.0.epochs=3."""
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"override {override!r}: expected key=value, such as optim.batch_size=2")
    *sections, last = key.split(".")
    place: Any = content
    for section in sections:
        place = place.setdefault(section, {}) if isinstance(place, dict) else _item(place, section)
        if not isinstance(place, dict | list):
            raise ConfigError(f"override {override!r}: {section} is not a section")
    parsed = parse_yaml(value, f"override {override!r}")
    if isinstance(place, dict):
        place[last] = parsed
    else:
        _item(place, last)
        place[int(last)] = parsed


def _item(items: list[Any], index: str) -> Any:
    if not index.isdecimal() or int(index) >= len(items):
        raise ConfigError(f"override: {index} is no item of a list of {len(items)}")
    return items[int(index)]

"""The configurations that come with the package, found by name in any working folder."""

from __future__ import annotations

from pathlib import Path

from runtime.errors import ConfigError

SHIPPED = Path(__file__).with_name("configs")
_PREFIX = ("train", "configs")
"""What comes before the name where a checkout is the working folder."""


def find_config(given: Path) -> Path:
    """The file that is meant: one that is there, else the shipped one of that name.

    `w48`, `w48.yaml` and `train/configs/w48.yaml` name the same, `ablation/se` one in a folder.
    Raises ConfigError where there is neither.
    """
    if given.exists() and not given.is_dir():
        return given
    parts = given.parts[2:] if given.parts[:2] == _PREFIX else given.parts
    name = Path(*parts)
    for named in (name.as_posix(), f"{name.as_posix()}.yaml"):
        if named in shipped():
            return SHIPPED / named
    what = "a folder" if given.is_dir() else "no such config"
    names = ", ".join(each.removesuffix(".yaml") for each in shipped())
    raise ConfigError(f"{given}: {what}; expected a YAML file, or one of {names}")


def shipped() -> list[str]:
    """Names of all that come with the package, such as "ablation/se.yaml"."""
    return sorted(path.relative_to(SHIPPED).as_posix() for path in SHIPPED.rglob("*.yaml"))

"""A part of a configuration, and in one line what is wrong with it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

_SHOWN = 200
"""Characters of a wrong value that a message repeats."""


class Section(BaseModel):
    """Unknown keys are errors, and nothing is changed once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def describe(error: ValidationError) -> str:
    """pydantic's findings on one line: `key: what is wrong`."""
    findings = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"]) or "config"
        # The project's own checks name what they found.
        told = item["type"] in ("missing", "value_error")
        found = "" if told else f" (found {_shown(item['input'])})"
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "unknown key"
        findings.append(f"{key}: {message}{found}")
    return " ".join("; ".join(findings).split())


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."

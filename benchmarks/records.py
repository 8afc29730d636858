"""The files that the benchmarks write: what kind each is."""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path
from typing import Any

from runtime.errors import ConfigError

LATENCY = "latency"
"""The kind of pytest-benchmark's files, whose format has no room for one."""


def read_record(
    path: Path, kinds: Container[str], expected: str, figures: str = "figures"
) -> tuple[str, dict[str, Any]]:
    """The kind of a file, and what it holds.

    Raises:
        ConfigError: not JSON, or none of the kinds; it says that it holds no `figures`, and
            what was expected.
    """
    try:
        record = json.loads(path.read_text())
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON ({error}); {expected}") from error
    record = record if isinstance(record, dict) else {}
    kind = LATENCY if "benchmarks" in record else record.get("kind", "")
    if kind not in kinds:
        raise ConfigError(f"{path}: holds no {figures}; {expected}")
    return kind, record

"""What a latency figure is: its scopes, how often it is taken, its percentiles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import ConfigError

ENGINE = "engine"
"""Scope: `Engine.predict` on arrays that are already in memory. That is the library's
inference plus a check of the arrays' shapes; no file is read or written."""

END_TO_END = "end to end"
"""Scope: two PNG files read and decoded, `Engine.predict`, the damage map encoded and
written as a PNG. Loading the engine is in neither scope."""

SCOPES = (ENGINE, END_TO_END)

WARMUP = 3
SECONDS = 4.0
"""Time spent on one figure where the number of rounds is not given."""
MIN_ROUNDS, MAX_ROUNDS = 10, 200


@dataclass(frozen=True)
class Latency:
    """Seconds for one call with `batch` pairs; percentiles are of the raw samples."""

    scope: str
    p50: float
    p90: float
    samples: int
    batch: int
    threads: int | None
    engine: dict[str, Any]
    machine: dict[str, Any]


def percentiles(samples: Sequence[float]) -> tuple[float, float]:
    """p50 and p90 by NumPy's default rule (linear between neighbours)."""
    import numpy as np

    p50, p90 = np.percentile(np.asarray(samples, np.float64), (50, 90))
    return float(p50), float(p90)


def rounds_for(seconds: float) -> int:
    """Rounds of a call that takes this long: enough for a p90, few enough to wait for."""
    return min(MAX_ROUNDS, max(MIN_ROUNDS, round(SECONDS / max(seconds, 1e-9))))


def read_latencies(path: Path) -> list[Latency]:
    """The figures of a pytest-benchmark JSON file, percentiles taken from its raw samples.

    Raises:
        ConfigError: not such a file, or not one of `pytest benchmarks`.
    """
    try:
        found = [_latency(entry) for entry in json.loads(path.read_text())["benchmarks"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: not a latency file ({type(error).__name__}: {error}); expected one "
            "written by pytest benchmarks --engine DIR --benchmark-json FILE"
        ) from error
    if not found:
        raise ConfigError(f"{path}: holds no figure; was every engine skipped?")
    return found


def _latency(entry: dict[str, Any]) -> Latency:
    info, samples = entry["extra_info"], entry["stats"]["data"]
    return Latency(
        info["scope"],
        *percentiles(samples),
        len(samples),
        info["batch"],
        info["threads"],
        info["engine"],
        info["machine"],
    )

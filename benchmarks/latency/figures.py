"""What a latency figure is: its scope, its scenario, its percentiles, and how it is read back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import ConfigError

ENGINE = "engine"
"""Scope: the library's own inference on arrays that are given, its outputs included. On a GPU
that is the computation alone: what it works on is on the device, and stays there."""

COPIES = "engine + copies"
"""Scope: `Engine.predict` on arrays that are in memory: checks, copies, and new memory for
the maps around `ENGINE`."""

END_TO_END = "end to end"
"""Scope: two PNG files read and decoded, `Engine.predict`, the damage map encoded and
written as a PNG. Loading the engine is in none of these three."""

RASTER = "raster"
"""Scope: `runtime.mapping.map_pair` on two GeoTIFFs: windows, maps, polygons, all files."""

COLD = "cold start"
"""Scope: from the start of a new process to its first result, loading the engine included. The
files are in the system's cache, and what a library keeps of an earlier start is there."""

LAYERS = (ENGINE, COPIES, END_TO_END)
"""Each holds the one before it, so their times rise."""

SINGLE_STREAM, MULTI_STREAM, OFFLINE = "SingleStream", "MultiStream", "Offline"
"""As in MLPerf Inference (Reddi et al., ISCA 2020, arXiv:1911.02549). SingleStream: one pair
a query, the next query when the last is answered. MultiStream: the same with several pairs a
query (MLPerf: 8; here `batch`). Offline: all pairs are there at once, and throughput counts."""

BY_ITSELF = "by itself"
"""Not one of MLPerf's: single calls, as of a map or the start of a process."""

MINIMUM = {"seconds": 10, "queries": 100}
"""Of a figure to be published. MLPerf asks 600 s of its own submissions: what is here are its
scenarios, not its results."""

Key = tuple[str, str, str, int]


@dataclass(frozen=True)
class Latency:
    """Seconds for one call with `batch` pairs; percentiles are of the raw samples.

    seconds: the raw samples in the order in which they were taken.
    info: everything else that is known, see `benchmarks.latency.conftest`.
    """

    scope: str
    p50: float
    p90: float
    samples: int
    batch: int
    threads: int | None
    engine: dict[str, Any]
    machine: dict[str, Any]
    p99: float
    scenario: str
    seconds: tuple[float, ...]
    info: dict[str, Any]

    @property
    def key(self) -> Key:
        """What names a figure in a file: engine, scope, scenario, batch."""
        return self.engine["name"], self.scope, self.scenario, self.batch

    @property
    def name(self) -> str:
        """The key as a person reads it."""
        engine, scope, scenario, batch = self.key
        return f"{engine}, {scope}, {scenario}, batch {batch}"


def percentiles(samples: Sequence[float]) -> tuple[float, float, float]:
    """p50, p90 and p99 by NumPy's default rule (linear between neighbours)."""
    import numpy as np

    p50, p90, p99 = np.percentile(np.asarray(samples, np.float64), (50, 90, 99))
    return float(p50), float(p90), float(p99)


def meets_minimum(samples: Sequence[float]) -> bool:
    """Whether the samples are as many, and took as long in all, as `MINIMUM` asks."""
    return len(samples) >= MINIMUM["queries"] and sum(samples) >= MINIMUM["seconds"]


def read_figures(path: Path) -> list[Latency]:
    """All figures of a pytest-benchmark JSON file, percentiles taken from its raw samples.

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
    p50, p90, p99 = percentiles(samples)
    return Latency(
        info["scope"],
        p50,
        p90,
        len(samples),
        info["batch"],
        info["threads"],
        info["engine"],
        info["machine"],
        p99,
        info.get("scenario", SINGLE_STREAM),
        tuple(samples),
        info,
    )

"""What is kept of a run, from the files that the benchmarks write."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.latency.figures import percentiles, read_figures
from benchmarks.records import LATENCY, read_record
from runtime import files
from runtime.errors import ConfigError

Line = dict[str, Any]
"""run (sha256 of the file), kind, commit (or null), time (ISO 8601, UTC), machine, figures:
each with name, unit ("s" or "score"), p50, p90 and n (null where it is one number)."""

MACHINE = ("cpu", "cores", "gpu_compute_capability", "platform")
"""What of a machine is kept: figures of another one do not continue a trend."""


def read_run(path: Path) -> Line:
    """Raises: ConfigError for a file that is none of those that the benchmarks write."""
    expected = "expected a file of pytest benchmarks --benchmark-json, or of --out of a benchmark"
    kind, record = read_record(path, _FIGURES, expected, "figures that are tracked")
    try:
        figures, machine = _FIGURES[kind](path, record)
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{path}: lacks {error}; measure it again") from error
    commit, time = _when(path, record)
    return {
        "run": files.sha256(path),
        "kind": kind,
        "commit": commit,
        "time": time,
        "machine": {key: machine.get(key) for key in MACHINE},
        "figures": figures,
    }


def _latency(path: Path, record: Line) -> tuple[list[Line], Line]:
    found = read_figures(path)
    figures = [_figure(each.name, "s", each.p50, each.p90, each.samples) for each in found]
    return figures, found[0].machine


def _accuracy(path: Path, record: Line) -> tuple[list[Line], Line]:
    data = record["data"]
    name = f"{record['engine']['name']}, score on {data['name']}/{data['split']}"
    figure = _figure(name, "score", record["figures"]["score"], None, data["tiles"])
    return [figure], record["machine"]


def _peers(path: Path, record: Line) -> tuple[list[Line], Line]:
    figures = []
    for each in record["figures"]:
        p50, p90, _ = percentiles(each["samples_s"])
        name = f"{each['name']}, {each['scope']}"
        figures.append(_figure(name, "s", p50, p90, len(each["samples_s"])))
    return figures, record["machine"]


_FIGURES: dict[str, Callable[[Path, Line], tuple[list[Line], Line]]] = {
    LATENCY: _latency,
    "accuracy": _accuracy,
    "peers": _peers,
}


def _figure(name: str, unit: str, p50: float, p90: float | None, n: int) -> Line:
    return {"name": name, "unit": unit, "p50": p50, "p90": p90, "n": n}


def _when(path: Path, record: Line) -> tuple[str | None, str]:
    """As pytest-benchmark noted it; else what is checked out here, and the file's own time."""
    if record.get("datetime"):
        commit = (record.get("commit_info") or {}).get("id")
        return commit, _utc(datetime.fromisoformat(record["datetime"]))
    written = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    return _checked_out(), _utc(written)


def _utc(time: datetime) -> str:
    """A time without a zone is UTC: so pytest-benchmark wrote it before version 4."""
    zoned = time if time.tzinfo else time.replace(tzinfo=timezone.utc)
    return zoned.astimezone(timezone.utc).isoformat(timespec="seconds")


def _checked_out() -> str | None:
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    except OSError:
        return None  # no git here
    return found.stdout.strip() or None if found.returncode == 0 else None

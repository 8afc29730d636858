"""``pytest benchmarks --engine DIR``: which engines are timed, and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.engines import name_of
from benchmarks.latency.sampling import SECONDS
from runtime.errors import ToolkitError
from runtime.manifest import Manifest

USAGE = "no engine given; usage: pytest benchmarks --engine DIR [--engine DIR2 ...]"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("engines")
    group.addoption("--engine", action="append", type=Path, default=[], help="engine folder")
    group.addoption("--threads", type=_count, help="processor threads (default: physical cores)")
    group.addoption(
        "--seconds", type=float, default=SECONDS,
        help=f"time for each latency (default: {SECONDS:g}; 10 or more to publish it)",
    )  # fmt: skip
    group.addoption("--rounds", type=_count, help="samples of each latency instead of a time")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test of an engine runs for every engine.

    With `batch` it runs for the smallest, the tuned and the largest batch of each.
    """
    if "engine" not in metafunc.fixturenames:
        return
    folders = metafunc.config.getoption("engine")
    if "batch" not in metafunc.fixturenames:
        cases = [pytest.param(folder, id=name_of(folder)) for folder in folders]
        names, unknown = ["engine"], [None]
    else:
        cases = [
            pytest.param(folder, batch, id=f"{name_of(folder)}-{batch}")
            for folder in folders
            for batch in _batches(folder)
        ]
        names, unknown = ["engine", "batch"], [None, None]
    if not cases:
        cases = [pytest.param(*unknown, marks=pytest.mark.skip(reason=USAGE), id="none")]
    metafunc.parametrize(names, cases, indirect=["engine"])


def _batches(folder: Path) -> list[int]:
    """Of a folder that is no engine: one, so that its test says what is wrong."""
    try:
        batch = Manifest.read(folder).input.batch
    except (ToolkitError, OSError):
        return [1]
    return sorted({batch.min, batch.opt, batch.max})


def _count(text: str) -> int:
    """Of a command line; refused below 1."""
    if int(text) < 1:
        raise ValueError
    return int(text)

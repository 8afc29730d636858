"""``pytest benchmarks --engine DIR``: which engines are timed, and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.engines import name_of

USAGE = "no engine given; usage: pytest benchmarks --engine DIR [--engine DIR2 ...]"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("engines")
    group.addoption("--engine", action="append", type=Path, default=[], help="engine folder")
    group.addoption("--threads", type=int, help="processor threads (default: physical cores)")
    group.addoption("--rounds", type=int, help="samples of each figure (default: about 4 s)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test of an engine runs for every engine, which is loaded once."""
    if "engine" not in metafunc.fixturenames:
        return
    folders = metafunc.config.getoption("engine")
    if folders:
        names = [name_of(folder) for folder in folders]
        metafunc.parametrize("engine", folders, ids=names, indirect=True, scope="module")
    else:
        skipped = pytest.param(None, marks=pytest.mark.skip(reason=USAGE), id="none")
        metafunc.parametrize("engine", [skipped], indirect=True, scope="module")

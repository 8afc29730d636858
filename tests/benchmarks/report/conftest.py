"""A report of the tiny engines with a file of every kind, made once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def figures(python, engines, tiny_data, measured, tmp_path_factory) -> list[Path]:
    """Files of every benchmark that tells of engines, by the public commands."""
    folder = tmp_path_factory.mktemp("figures")
    agreement = folder / "agreement.json"
    _run(
        python,
        *("-m", "benchmarks.agreement", "--engine", engines[0], "--engine", engines[1]),
        *("--data", tiny_data, "--out", agreement),
    )
    robustness = []
    for engine in engines[:2]:
        robustness.append(folder / f"robustness-{engine.name}.json")
        _run(
            python,
            *("-m", "benchmarks.robustness", "--engine", engine, "--data", tiny_data),
            *("--out", robustness[-1]),
        )
    return [*measured["accuracy"], measured["latency"], agreement, *robustness]


@pytest.fixture(scope="session")
def report(python, engines, tiny_data, figures, tmp_path_factory) -> Path:
    """report.html, and report.md beside it."""
    out = tmp_path_factory.mktemp("report") / "report.html"
    _run(
        python,
        *("-m", "benchmarks.report", "--engine", *engines, "--data", tiny_data),
        *("--figures", *figures, "--command", "python -m train <x> && y"),
        *("--out", out, "--markdown", out.with_suffix(".md")),
    )
    return out


@pytest.fixture
def changed(measured, tmp_path):
    """The INT8 engine's accuracy file, its figures changed by a function."""

    def change(alter) -> Path:
        record = json.loads(measured["accuracy"][1].read_text())
        alter(record)
        path = tmp_path / "changed.json"
        path.write_text(json.dumps(record))
        return path

    return change


def _run(python, *arguments) -> None:
    result = python(*arguments)
    assert result.returncode == 0, result.stderr

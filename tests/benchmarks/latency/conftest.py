"""An engine that takes one to four pairs, and all suites run on it once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from runtime.manifest import Batch, Manifest, payload_of

ROUNDS = 160


@pytest.fixture(scope="session")
def ranged_engine(make_engine, tmp_path_factory) -> Path:
    folder = make_engine(tmp_path_factory.mktemp("ranged") / "cpu-1-to-4")
    model = onnx.load(folder / "model.onnx")
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.save(model, folder / "model.onnx")
    manifest = Manifest.read(folder)
    replace(
        manifest,
        input=replace(manifest.input, batch=Batch(1, 2, 4)),
        payload=payload_of(folder, ["model.onnx"]),
    ).write(folder)
    return folder


@pytest.fixture(scope="session")
def suite(python, ranged_engine, tmp_path_factory) -> Path:
    """The file of ``pytest benchmarks --engine DIR``."""
    path = tmp_path_factory.mktemp("suite") / "latency.json"
    result = python(
        *("-m", "pytest", "benchmarks", "-p", "no:cacheprovider", "--engine", ranged_engine),
        *("--rounds", ROUNDS, "--threads", 1, "--benchmark-json", path),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return path


@pytest.fixture(scope="session")
def entries(suite) -> list[dict]:
    return json.loads(suite.read_text())["benchmarks"]

"""A peer's engine: what it is made from, and that it is not taken for one of ours."""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.nncf_engine import STATUS, _pairs
from benchmarks.peers.lineup import names
from runtime.engine import load_engine
from runtime.errors import DataError
from runtime.files import sha256
from runtime.manifest import Manifest
from train.xbd import find_tiles

SIZE = ("--size", 96, 96)
INSTALLED = importlib.util.find_spec("nncf") is not None


@pytest.fixture(scope="module")
def fp32(small_checkpoint: Path, command: Callable, tmp_path_factory) -> Callable[[str], Path]:
    @functools.cache
    def build(target: str) -> Path:
        pytest.importorskip(target)
        out = tmp_path_factory.mktemp("peer") / target
        result = command(
            "export.build_engine", "--fp32", "--target", target, "--checkpoint", small_checkpoint,
            *SIZE, "--out", out,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        return out

    return build


@pytest.mark.skipif(INSTALLED, reason="NNCF is installed")
def test_without_nncf_it_is_one_line(example_engine, synthetic, error_line, tmp_path) -> None:
    engine, out = example_engine(tmp_path / "engine", "openvino"), tmp_path / "peer"
    line = error_line(
        "benchmarks.nncf_engine", "--engine", engine, "--data", synthetic, "--out", out
    )
    assert "NNCF cannot be used" in line
    assert "pip install nncf" in line
    assert not out.exists()


def test_it_calibrates_on_the_corner_that_the_engine_takes(synthetic: Path) -> None:
    tile = find_tiles(synthetic, "train")[0]
    (item,) = _pairs([tile], (64, 96))
    assert np.array_equal(item["pre"][0], tile.images()[0][:64])
    assert item["post"].dtype == np.uint8
    with pytest.raises(DataError, match="is smaller than 128x96, the engine's input"):
        next(_pairs([tile], (128, 96)))


@pytest.mark.skipif(not INSTALLED, reason="NNCF is not installed")
def test_its_engine_runs_and_says_that_it_is_a_peers(
    fp32, synthetic, command, error_line, tmp_path
) -> None:
    out = tmp_path / "peer"
    line = ("benchmarks.nncf_engine", "--data", synthetic, "--tiles", 4)
    result = command(*line, "--engine", fp32("openvino"), "--out", out)
    assert result.returncode == 0, result.stderr
    manifest = Manifest.read(out)
    assert (manifest.precision, manifest.verification["status"]) == ("int8", STATUS)
    pre, post = find_tiles(synthetic, "test")[0].images()
    with load_engine(out) as engine, load_engine(fp32("openvino")) as reference:
        agreement = np.mean(engine.predict(pre, post).damage == reference.predict(pre, post).damage)
    assert 0.5 < agreement < 1
    refused = error_line(*line, "--engine", fp32("onnxruntime"), "--out", tmp_path / "other")
    assert "expected one of fp32 for openvino" in refused


@pytest.mark.skipif(INSTALLED, reason="NNCF is installed")
def test_peers_without_nncf_is_one_line(
    example_engine, small_checkpoint, synthetic, error_line, tmp_path
) -> None:
    line = ("benchmarks.peers", "--checkpoint", small_checkpoint, "--nncf", synthetic)
    engines = [example_engine(tmp_path / each, each) for each in ("openvino", "onnxruntime")]
    for engine in engines:
        manifest = Manifest.read(engine)
        model = replace(manifest.model, checkpoint_sha256=sha256(small_checkpoint))
        replace(manifest, model=model).write(engine)
    assert "pip install nncf" in error_line(*line, "--engine", engines[0])
    refused = error_line(*line, "--engine", engines[1])
    assert refused == (
        "error: --nncf: quantises an FP32 engine for OpenVINO, and no --engine is one"
    )


@pytest.mark.skipif(not INSTALLED, reason="NNCF is not installed")
def test_peers_times_what_nncf_makes(
    fp32, small_checkpoint, synthetic, command, tmp_path: Path
) -> None:
    out = tmp_path / "peers.json"
    left_out = [x for each in names() for x in ("--leave-out", each)]
    result = command(
        "benchmarks.peers", "--checkpoint", small_checkpoint, "--engine", fp32("openvino"),
        "--nncf", synthetic, "--rounds", 1, *left_out, "--out", out,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    figures = {row["name"]: row for row in json.loads(out.read_text())["figures"]}
    assert figures["openvino-nncf"]["precision"] == "int8"
    assert figures["openvino-nncf"]["median_s"] > 0

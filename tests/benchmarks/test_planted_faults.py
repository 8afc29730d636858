"""Faults in what runs an engine, of every processor target and with and without labels."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.planted_faults import AS_IT_IS, FAULTS

SIZE = ("--size", 64, 64)


@pytest.fixture(scope="module")
def engines(small_checkpoint: Path, command: Callable, tmp_path_factory) -> list[Path]:
    """FP32, of every target that runs here."""
    built = []
    for target in ("onnxruntime", "openvino"):
        out = tmp_path_factory.mktemp("engines") / target
        result = command(
            "export.build_engine", "--fp32", "--target", target, "--checkpoint", small_checkpoint,
            *SIZE, "--out", out,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        built.append(out)
    return built


@pytest.mark.parametrize(
    "labelled",
    [
        pytest.param(True, marks=pytest.mark.slow),
        pytest.param(False, marks=pytest.mark.slow),
        pytest.param(None, marks=pytest.mark.slow),
    ],
)
def test_every_fault_is_refused_and_nothing_else(
    small_checkpoint, synthetic, engines, command, tmp_path, labelled
) -> None:
    data: tuple[object, ...] = ()
    if labelled is not None:
        folder = shutil.copytree(synthetic, tmp_path / "data")
        if not labelled:
            shutil.rmtree(folder / "test" / "labels")
        data = ("--data", folder)
    result = command(
        "benchmarks.planted_faults", "--checkpoint", small_checkpoint, *SIZE, *data, "--json",
        "--engine", *engines,
    )  # fmt: skip
    rows = [row for row in json.loads(result.stdout) if row["runner"] != "GPU graph fp16"]
    assert [row["runner"] for row in rows[:: len(FAULTS)]] == [
        "GPU graph fp32", "onnxruntime", "openvino",
    ]  # fmt: skip
    for row in rows:
        assert row["refused"] == (row["fault"] != AS_IT_IS), row


@pytest.mark.slow
def test_what_is_refused_as_it_is_ends_the_command(
    small_checkpoint, engines, error_line, tmp_path
) -> None:
    """An engine of another network: nothing that it says is what the checkpoint says."""
    from benchmarks.plausible import plausible_network
    from train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

    config = load_checkpoint(small_checkpoint).model
    other = plausible_network(config, seed=5, side=128, count=2)
    save_checkpoint(tmp_path / "other.pt", Checkpoint(model=config, model_state=other.state_dict()))
    line = error_line(
        "benchmarks.planted_faults", "--checkpoint", tmp_path / "other.pt", *SIZE, "--engine",
        engines[0],
    )  # fmt: skip
    assert "fault none: refused, expected the contrary" in line

"""Engine folders as the command builds them: complete, verified, or not there at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.verify import measure, parity_pairs
from runtime.engine import load_engine
from runtime.errors import DataError
from runtime.files import sha256
from runtime.manifest import Manifest
from train.checkpoint import load_checkpoint
from train.inference import predict_maps

SIZE = ("--size", 64, 64)


@pytest.fixture(scope="module")
def build(small_checkpoint: Path, tmp_path_factory, command: Callable) -> Callable[..., Path]:
    def run(*arguments: object) -> Path:
        out = tmp_path_factory.mktemp("engine") / "engine"
        result = command(
            "export.build_engine", "--checkpoint", small_checkpoint, *SIZE, "--out", out, *arguments
        )
        assert result.returncode == 0, result.stderr
        return out

    return run


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_fp32_engine_agrees_with_pytorch(build, small_checkpoint, pair, target) -> None:
    pytest.importorskip(target)
    folder = build("--fp32", "--target", target)
    manifest = Manifest.read(folder)
    assert manifest.model.checkpoint_sha256 == sha256(small_checkpoint)
    assert (manifest.precision, manifest.target.backend) == ("fp32", target)
    assert manifest.calibration is None
    assert manifest.verification["status"] == "ran"
    assert manifest.verification["parity"]["label_agreement"] >= 0.9999
    expected = predict_maps(load_checkpoint(small_checkpoint).network(), *pair)
    with load_engine(folder) as engine:
        result = engine.predict(*pair)
    assert np.mean(result.damage == expected[0]) >= 0.9999
    assert np.abs(result.building.astype(int) - expected[1]).max() <= 1


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_int8_engine_runs_and_carries_its_calibration(
    build, calibration_file: Path, pair, target
) -> None:
    pytest.importorskip(target)
    folder = build("--int8", "--calibration", calibration_file, "--target", target)
    manifest = Manifest.read(folder)
    assert manifest.calibration == json.loads(calibration_file.read_text())["fingerprint"]
    assert manifest.verification["parity"]["label_agreement"] > 0.6
    with load_engine(folder) as engine:
        assert engine.predict(*pair).damage.shape == (64, 64)


def test_tensorrt_rtx_engine_is_labelled_as_not_run(build) -> None:
    pytest.importorskip("tensorrt_rtx")
    folder = build("--fp16", "--target", "tensorrt-rtx", "--compute-capability", "8.9")
    manifest = Manifest.read(folder)
    assert manifest.target.compute_capability == "8.9"
    assert manifest.verification["status"] == "compiled, not run"
    assert manifest.verification["parity"]["what"] == "its ONNX graph on ONNX Runtime"
    manifest.check_payload(folder)
    assert [entry.name for entry in manifest.payload] == ["engine.plan", "plan.json"]


def test_json_is_the_manifest(small_checkpoint, command, tmp_path) -> None:
    result = command(
        "export.build_engine", "--checkpoint", small_checkpoint, *SIZE, "--fp32",
        "--target", "onnxruntime", "--out", tmp_path / "e", "--json",
    )  # fmt: skip
    assert json.loads(result.stdout) == json.loads((tmp_path / "e" / "manifest.json").read_text())


def test_newest_checkpoint_is_found_and_the_folder_named(
    small_checkpoint, command, tmp_path, monkeypatch
) -> None:
    (tmp_path / "runs" / "one").mkdir(parents=True)
    shutil.copy(small_checkpoint, tmp_path / "runs" / "one" / "best.pt")
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", str(root))
    result = command(
        "export.build_engine", *SIZE, "--fp32", "--target", "onnxruntime", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "artifacts/dual-hrnet-w8-64x64-fp32-onnxruntime/manifest.json").is_file()


def test_to_onnx_writes_a_checked_graph(small_checkpoint, command, tmp_path) -> None:
    out = tmp_path / "model.onnx"
    result = command("export.to_onnx", "--checkpoint", small_checkpoint, *SIZE, "--out", out)
    assert result.returncode == 0, result.stderr
    model = onnx.load(out)
    onnx.checker.check_model(model, full_check=True)
    assert [v.name for v in model.graph.output] == ["damage", "building", "confidence"]


def test_bad_requests_are_one_line_and_leave_nothing(
    small_checkpoint, calibration_file, error_line, tmp_path, plausible
) -> None:
    from train.checkpoint import Checkpoint, save_checkpoint

    network = plausible(seed=1)
    other = tmp_path / "other.pt"
    save_checkpoint(other, Checkpoint(model=network.config, model_state=network.state_dict()))
    out = tmp_path / "engine"
    base = ("export.build_engine", *SIZE, "--out", out)
    ours = (*base, "--checkpoint", small_checkpoint)
    int8 = ("--int8", "--target", "onnxruntime")
    cases = {
        "--int8 needs ranges": (*ours, *int8),
        "of another checkpoint": (
            *base,
            "--checkpoint",
            other,
            *int8,
            "--calibration",
            calibration_file,
        ),
        "no such calibration": (*ours, *int8, "--calibration", tmp_path / "none.json"),
        "only --int8 uses ranges": (*ours, "--fp32", "--calibration", calibration_file),
        "no such checkpoint": (*base, "--checkpoint", tmp_path / "none.pt", "--fp32"),
        "would be no faster": (*ours, "--fp16", "--target", "openvino"),
        "not a positive multiple of 32": (*ours, "--size", 100, 100),
        "expected N, or min opt max": (*ours, "--batch", 1, 2),
        "expected at least 1": (*ours, "--parity-pairs", 0),
        "is no engine folder": (*ours, "--fp32", "--target", "onnxruntime", "--out", tmp_path),
        "tensorrt is not installed": (*ours, "--fp16", "--target", "tensorrt"),
    }
    for message, arguments in cases.items():
        assert message in error_line(*arguments), message
    assert not out.exists()
    assert not list(tmp_path.glob(".*partial*"))


def test_an_engine_that_disagrees_is_noticed(plausible, pair) -> None:
    network = plausible()

    def lie(pre: np.ndarray, post: np.ndarray) -> tuple[np.ndarray, ...]:
        damage, building, confidence = predict_maps(network, pre, post)
        damage = damage.copy()
        damage[:8] = (damage[:8] + 1) % 5
        return damage, building, confidence

    honest = measure(lambda *p: predict_maps(network, *p), network, [pair], 0.5)
    assert honest["label_agreement"] == 1
    assert set(honest["class_f1"].values()) == {1.0}
    found = measure(lie, network, [pair], 0.5)
    assert found["label_agreement"] == pytest.approx(1 - 8 / 64)


def test_parity_pairs_come_from_the_data_cut_to_size(synthetic: Path) -> None:
    pairs, source = parity_pairs(64, 96, 2, synthetic, "test")
    assert [p.shape for pair in pairs for p in pair] == [(64, 96, 3)] * 4
    assert source == "2 tiles of split test"
    with pytest.raises(DataError, match="no tile of split test is 64x128 or larger"):
        parity_pairs(64, 128, 1, synthetic, "test")  # tiles are 96x96
    pairs, source = parity_pairs(64, 128, 1, None, "test")
    assert source.startswith("1 synthetic scene ")
    assert pairs[0][0].shape == (64, 128, 3)

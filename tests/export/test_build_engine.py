"""Engine folders as the command builds them: complete, verified, or not there at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.deploy import DeployOptions, deploy_graph
from export.onnx_graph import export_onnx
from export.precision import prove_precision
from export.request import EngineRequest
from export.source import Source
from export.targets import Target
from runtime.engine import load_engine
from runtime.errors import ExportError
from runtime.files import sha256
from runtime.manifest import Manifest
from train.card_parts import Training
from train.checkpoint import load_checkpoint, save_checkpoint
from train.data_summary import DataSummary, SplitSummary
from train.inference import predict_maps
from train.quantisation.artefact import read_artefact

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
    build, calibration_file: Path, pair, target, floorless
) -> None:
    pytest.importorskip(target)
    # ONNX Runtime leaves a convolution in FP32 whose result is not rounded.
    mixed = ("--allow-mixed", "pre", "post", "exchange", "heads") * (target == "onnxruntime")
    folder = build(
        "--int8", "--calibration", calibration_file, "--target", target, *mixed, *floorless
    )
    manifest = Manifest.read(folder)
    assert manifest.calibration == json.loads(calibration_file.read_text())["fingerprint"]
    assert (folder / "calibration.json").read_bytes() == calibration_file.read_bytes()
    assert manifest.verification["parity"]["label_agreement"] > 0.6
    assert manifest.verification["gate"] is None  # without labels
    flops = manifest.verification["precision"]["flops_by_precision"]
    assert set(flops) == ({"int8", "fp32"} if target == "onnxruntime" else {"int8"})
    with load_engine(folder) as engine:
        assert engine.predict(*pair).damage.shape == (64, 64)


def test_int8_whose_convolutions_stay_float_is_not_built(
    small_checkpoint, calibration_file, error_line, tmp_path
) -> None:
    out = tmp_path / "engine"
    line = error_line(
        "export.build_engine", "--checkpoint", small_checkpoint, *SIZE, "--int8",
        "--calibration", calibration_file, "--target", "onnxruntime", "--out", out,
    )  # fmt: skip
    assert "int8 proof: onnxruntime made" in line
    assert "--allow-mixed" in line
    assert not out.exists()


def test_int8_calibrates_by_itself_and_holds_its_gate(
    small_checkpoint, synthetic, command, error_line, tmp_path, floorless
) -> None:
    pytest.importorskip("openvino")
    out = tmp_path / "engine"
    line = (
        "export.build_engine", "--checkpoint", small_checkpoint, "--size", 96, 96, "--int8",
        "--target", "openvino", "--data", synthetic, "--calibration-tiles", 4,
        "--gate-tiles", 1, "--out", out,
    )  # fmt: skip
    result = command(*line, "--gate-score", 1, "--gate-f1", 1, *floorless)
    assert result.returncode == 0, result.stderr
    assert "observing minmax, mse, percentile ranges on 4 tiles" in result.stderr
    verification = Manifest.read(out).verification
    assert verification["gate"]["scenes"] == 1
    assert verification["high_precision"] == []
    assert len(read_artefact(out / "calibration.json").tiles) == 4


@pytest.mark.slow
def test_the_best_engine_says_why_the_others_lost(
    small_checkpoint, calibration_file, synthetic, command, tmp_path, floorless
) -> None:
    pytest.importorskip("tensorrt_rtx")
    out = tmp_path / "engine"
    result = command(
        "export.build_engine", "--checkpoint", small_checkpoint, *SIZE, "--best",
        "--calibration", calibration_file, "--compute-capability", "8.6", "--out", out,
        "--data", synthetic, "--gate-score", 1, "--gate-f1", 1, *floorless,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    manifest = Manifest.read(out)
    manifest.check_payload(out)
    verdict = manifest.verification
    assert verdict["chosen"].endswith("(roofline estimate, not run)")
    assert "onnxruntime" not in result.stderr  # which warns of every scale it does not fold
    lost = [line.partition(":")[0] for line in verdict["rejected"]]
    names = {f"tensorrt-rtx {each}" for each in ("fp32", "fp16", "int8")}
    assert set(lost) == names - {verdict["chosen"].partition(":")[0]}
    assert any("x the bytes of" in line for line in verdict["rejected"])


def test_the_best_engine_of_a_processor_is_the_fastest_measured(
    small_checkpoint, command, tmp_path
) -> None:
    pytest.importorskip("openvino")
    out = tmp_path / "engine"
    result = command(
        "export.build_engine", "--checkpoint", small_checkpoint, *SIZE, "--best",
        "--target", "openvino", "--out", out,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    verdict = Manifest.read(out).verification
    assert verdict["chosen"].startswith("openvino fp32: ")
    assert verdict["chosen"].endswith("(median of runs here)")
    (rejected,) = verdict["rejected"]
    assert rejected.startswith("openvino int8: --int8 needs ranges")
    card = (out / "README.md").read_text()
    assert "chosen as the fastest: openvino fp32: " in card
    assert "dual-hrnet-best-" not in card


def test_the_best_engine_without_labels_is_fp32(
    small_checkpoint, calibration_file, command, tmp_path, floorless
) -> None:
    """A faster one of which nothing shows what it loses is not chosen."""
    pytest.importorskip("openvino")
    out = tmp_path / "engine"
    result = command(
        "export.build_engine", "--checkpoint", small_checkpoint, *SIZE, "--best", "--target",
        "openvino", "--calibration", calibration_file, "--out", out, *floorless,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    verdict = Manifest.read(out).verification
    assert verdict["chosen"].startswith("openvino fp32: ")
    (rejected,) = verdict["rejected"]
    assert rejected.startswith(
        "openvino int8: not measured: no labelled tiles show what int8 loses"
    )


def test_lower_precision_below_the_floor_is_not_built(
    small_checkpoint, calibration_file, error_line, tmp_path
) -> None:
    """Random weights: rounding decides what lies close to ties."""
    pytest.importorskip("openvino")
    out = tmp_path / "engine"
    line = error_line(
        "export.build_engine", "--checkpoint", small_checkpoint, *SIZE, "--int8", "--target",
        "openvino", "--calibration", calibration_file, "--out", out,
    )  # fmt: skip
    assert "the engine does not label as the network does, on 2 of synthetic scenes" in line
    assert "of the building pixels have FP32's label (floor 90.00%)" in line
    assert "--floor-agreement" in line
    assert not out.exists()


def test_the_manifest_holds_the_floor_and_what_the_pairs_show(build, floorless) -> None:
    parity = Manifest.read(build("--fp32", "--target", "onnxruntime")).verification["parity"]
    assert parity["floor"] == {
        "agreement": 0.999, "class_f1": 0.999, "probability": 0.001, "pixels": 64
    }  # fmt: skip
    assert min(parity["content"].values()) >= 64
    assert sum(parity["content"].values()) == parity["pixels"]
    lowered = Manifest.read(build("--fp32", "--target", "onnxruntime", *floorless))
    assert lowered.verification["parity"]["floor"]["agreement"] == 0


def test_an_fp16_graph_with_an_fp32_convolution_fails_with_its_name(
    small_checkpoint, tmp_path
) -> None:
    """Planted as a training engineer would: one module kept in FP32."""
    checkpoint = load_checkpoint(small_checkpoint)
    network = checkpoint.network()
    options = DeployOptions(64, 64, precision="fp16")
    graph = deploy_graph(network, options)
    planted = "network.post.layer1.0.conv2"
    graph.core.set_submodule(planted, _InFp32(graph.core.get_submodule(planted)))
    model = export_onnx(graph, options)
    source = Source(small_checkpoint, "0" * 64, network, None, Training.of(checkpoint))
    request = EngineRequest(source, options, Target("tensorrt-rtx", "8.6", "asked for"))
    with pytest.raises(ExportError, match=r"1 convolutions that are not FP16: post.layer1.0.conv2"):
        prove_precision(tmp_path, model, request)


class _InFp32(torch.nn.Module):
    def __init__(self, conv: torch.nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv.float()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x.float()).half()


def test_tensorrt_rtx_engine_is_labelled_as_not_run(build, floorless) -> None:
    pytest.importorskip("tensorrt_rtx")
    folder = build("--fp16", "--target", "tensorrt-rtx", "--compute-capability", "8.9", *floorless)
    manifest = Manifest.read(folder)
    assert manifest.target.compute_capability == "8.9"
    assert manifest.verification["status"] == "compiled, not run"
    assert manifest.verification["parity"]["what"] == "its ONNX graph on ONNX Runtime"
    manifest.check_payload(folder)
    assert [entry.name for entry in manifest.payload] == ["engine.plan", "plan.json"]


def test_json_is_the_manifest(small_checkpoint, command, tmp_path) -> None:
    result = command(
        "export.build_engine", "--checkpoint", small_checkpoint, *SIZE, "--fp32",
        "--target", "onnxruntime", "--out", tmp_path / "e", "--json", "--gsd", 0.3, 0.8,
    )  # fmt: skip
    content = json.loads(result.stdout)
    assert content == json.loads((tmp_path / "e" / "manifest.json").read_text())
    assert content["model"]["gsd_m"] == [0.3, 0.8]


def test_what_training_saw_is_carried_to_the_manifest(small_checkpoint, command, tmp_path) -> None:
    """The pixels that the checkpoint records, unless others are given, and the scale."""
    seen = SplitSummary(split="train", disasters={"a": 1}, sizes=((96, 96),), pixels={})
    data = DataSummary(train=seen, val=seen, scale=(0.8, 1.25), pixel_m=(0.4, 0.7))
    checkpoint = load_checkpoint(small_checkpoint)
    save_checkpoint(tmp_path / "seen.pt", replace(checkpoint, data=data))
    models = []
    for given in ((), ("--gsd", 0.3, 0.8)):
        result = command(
            "export.build_engine", "--checkpoint", tmp_path / "seen.pt", *SIZE, "--fp32",
            "--target", "onnxruntime", "--out", tmp_path / "e", *given,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        models.append(Manifest.read(tmp_path / "e").model)
    assert [(each.gsd_m, each.scale) for each in models] == [
        ((0.4, 0.7), (0.8, 1.25)), ((0.3, 0.8), (0.8, 1.25))
    ]  # fmt: skip
    text = (tmp_path / "e" / "README.md").read_text()
    assert "scale of its crops beside the tiles,\nwhich are mapped at 1: 0.8 to 1.25." in text


def test_hold_is_what_a_gate_compares_on(small_checkpoint, synthetic, command, tmp_path) -> None:
    data = shutil.copytree(synthetic, tmp_path / "data")
    (data / "hold").symlink_to(data / "test")
    line = (
        "export.build_engine", "--checkpoint", small_checkpoint, *SIZE, "--fp32", "--target",
        "onnxruntime", "--data", data, "--out", tmp_path / "e",
    )  # fmt: skip
    for split, noted in (("hold", False), ("test", True)):
        result = command(*line)
        assert result.returncode == 0, result.stderr
        assert Manifest.read(tmp_path / "e").verification["parity"]["pairs"].endswith(split)
        assert ("no split hold, so split test chooses" in result.stderr) == noted
        (data / "hold").unlink(missing_ok=True)


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
        "--gsd 0.8 0.3: expected 0 < MIN <= MAX": (*ours, "--gsd", 0.8, 0.3),
        "expected N, or min opt max": (*ours, "--batch", 1, 2),
        "expected at least 1": (*ours, "--parity-pairs", 0),
        "expected at least 0": (*ours, "--gate-tiles", -1),
        "expected between 0 and 1": (*ours, "--gate-score", 2),
        "--floor-f1 nan: expected between 0 and 1": (*ours, "--floor-f1", "nan"),
        "--floor-pixels -1: expected 0 or more": (*ours, "--floor-pixels", -1),
        "expected none, flips, rotate180, d4": (*ours, "--tta", "spin"),
        "is no engine folder": (*ours, "--fp32", "--target", "onnxruntime", "--out", tmp_path),
        "tensorrt is not installed": (*ours, "--fp16", "--target", "tensorrt"),
    }
    for message, arguments in cases.items():
        assert message in error_line(*arguments), message
    assert not out.exists()
    assert not list(tmp_path.glob(".*partial*"))


def test_a_refused_engine_is_named_as_it_was_asked_for(
    small_checkpoint: Path, tmp_path: Path, error_line: Callable
) -> None:
    content = torch.load(small_checkpoint, weights_only=True)
    for name, tensor in content["model_state"].items():
        if tensor.is_floating_point() and "running" not in name:
            tensor.mul_(1e30)
    torch.save(content, tmp_path / "huge.pt")
    out = tmp_path / "engine"
    line = error_line(
        "export.build_engine", "--fp32", "--checkpoint", tmp_path / "huge.pt", "--target",
        "onnxruntime", "--size", 64, 64, "--out", out,
    )  # fmt: skip
    assert f"{out}/model.onnx: its weights" in line
    assert line.endswith(f"--out {out}")
    assert ".partial" not in line
    assert not out.exists()

"""The same checkpoint gives the same bytes of payload, where the manifest says so."""

from __future__ import annotations

import json
import os

import pytest

from export.builders import onnxruntime as onnxruntime_builder
from export.builders import openvino as openvino_builder
from export.deploy import DeployOptions, deploy_graph
from export.onnx_graph import export_onnx
from export.payload import REPRODUCIBLE
from runtime.errors import SignatureError
from runtime.files import sha256
from runtime.manifest import Manifest
from runtime.trust import setting
from train.checkpoint import load_checkpoint

BUILDERS = {"onnxruntime": onnxruntime_builder, "openvino": openvino_builder}


@pytest.mark.parametrize("target", BUILDERS)
def test_another_export_of_a_checkpoint_is_the_same_payload(
    fp32_onnx, small_checkpoint, tmp_path, target
):
    pytest.importorskip(target)
    options = DeployOptions(height=64, width=64)
    network = load_checkpoint(small_checkpoint).network()
    again = export_onnx(deploy_graph(network, options), options)
    digests = []
    for name, model in (("first", fp32_onnx), ("second", again)):
        (tmp_path / name).mkdir()
        files = BUILDERS[target].build(model, tmp_path / name)
        digests.append([sha256(tmp_path / name / each) for each in files])
    assert digests[0] == digests[1]
    assert REPRODUCIBLE[target] is True


def test_a_built_engine_carries_its_bill_and_answer_and_is_built_where_signatures_are_demanded(
    small_checkpoint, command, tmp_path, monkeypatch, strangers_keys
):
    monkeypatch.setenv(setting.VARIABLE, str(strangers_keys))
    folder = tmp_path / "engine"
    result = command(
        "export.build_engine", "--checkpoint", small_checkpoint, "--size", 64, 64, "--fp32",
        "--target", "onnxruntime", "--out", folder,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    with pytest.raises(SignatureError):  # as for any other
        Manifest.read(folder)
    monkeypatch.delenv(setting.VARIABLE)
    manifest = Manifest.read(folder)
    assert manifest.verification["reproducible"] is True
    assert sum(manifest.verification["known_answer"]["counts"]) == 64 * 64
    content = json.loads((folder / "build.cdx.json").read_text())
    assert {"torch", "onnx", "onnxruntime"} <= {each["name"] for each in content["components"]}
    (file,) = content["metadata"]["component"]["components"]
    assert file["hashes"][0]["content"] == manifest.payload[0].sha256
    assert str(tmp_path) not in json.dumps(content)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_builds_of_two_processes_are_the_same_payload_and_bill(
    small_checkpoint, synthetic, python, tmp_path, target, floorless
):
    pytest.importorskip(target)
    mixed = ("--allow-mixed", "pre", "post", "exchange", "heads") * (target == "onnxruntime")
    for seed in ("1", "2"):
        done = python(
            "-m", "export.build_engine", "--checkpoint", small_checkpoint, "--size", 64, 64,
            "--int8", "--target", target, "--data", synthetic, "--split", "test",
            "--gate-score", 1, "--gate-f1", 1, *mixed, *floorless, "--out", tmp_path / seed,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    first, second = (Manifest.read(tmp_path / seed) for seed in ("1", "2"))
    assert first.payload == second.payload
    assert "calibration.json" in [each.name for each in first.payload]
    bills = [(tmp_path / seed / "build.cdx.json").read_bytes() for seed in ("1", "2")]
    assert bills[0] == bills[1]

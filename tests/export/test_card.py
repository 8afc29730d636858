"""An engine's card: the manifest in words, and nothing that was not measured."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from export.card import card, name_of
from runtime.engine import load_engine
from runtime.manifest import Manifest
from train.card_parts import Training
from train.checkpoint import load_checkpoint

SIZE = ("--size", 96, 96)


def front_matter(text: str) -> dict:
    return yaml.safe_load(re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)[1])


@pytest.fixture(scope="module")
def gated(
    small_checkpoint: Path, synthetic: Path, command: Callable, tmp_path_factory, floorless
) -> tuple[Path, Manifest, str]:
    """An INT8 engine whose accuracy was measured: its folder, manifest and card."""
    pytest.importorskip("openvino")
    out = tmp_path_factory.mktemp("card") / "engine"
    result = command(
        "export.build_engine", "--checkpoint", small_checkpoint, *SIZE, "--int8",
        "--target", "openvino", "--data", synthetic, "--calibration-tiles", 4, "--gate-tiles", 1,
        "--gate-score", 1, "--gate-f1", 1, "--gsd", 0.3, 0.8, *floorless, "--out", out,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return out, Manifest.read(out), (out / "README.md").read_text()


def test_the_results_are_those_of_the_gate(gated) -> None:
    _, manifest, text = gated
    front, gate = front_matter(text), manifest.verification["gate"]
    (model,) = front["model-index"]
    (result,) = model["results"]
    assert model["name"] == "dual-hrnet-w8-96x96-int8-openvino" == name_of(manifest)
    assert front["tags"][-2:] == ["openvino", "int8"]
    assert result["dataset"] == {
        "type": "synthetic", "name": "1 labelled scenes of split test", "split": "test"
    }  # fmt: skip
    values = {each["name"]: each["value"] for each in result["metrics"]}
    assert values["xView2 score"] == gate["candidate"]["score"]
    assert values["localization F1"] == gate["candidate"]["localization"]
    assert values["F1 of destroyed"] == gate["candidate"]["destroyed"]
    assert len(values) == len(gate["candidate"])


def test_the_text_is_the_manifest_in_words(gated) -> None:
    _, manifest, text = gated
    plain = text.replace("\\", "")
    for value in (
        manifest.model.checkpoint_sha256, manifest.graph.sha256, manifest.calibration,
        manifest.target.version, manifest.target.platform, manifest.created, "0.3 to 0.8 m",
        f"{manifest.verification['parity']['label_agreement']:.4%}",
        "model.xml",
    ):  # fmt: skip
        assert value in plain
    assert "This engine ran on" in text
    assert "**Latency:** not measured" in text
    assert "The checkpoint's accuracy: not measured." in text


def test_the_card_is_no_payload_and_does_not_keep_the_engine_from_loading(gated) -> None:
    folder, manifest, _ = gated
    assert "README.md" not in [entry.name for entry in manifest.payload]
    (folder / "README.md").write_text("changed by hand")
    with load_engine(folder, threads=1) as engine:
        assert engine.width == 96
    manifest.check_payload(folder)


def test_a_card_names_no_folder_of_the_machine(gated, synthetic, small_checkpoint) -> None:
    folder, _, text = gated
    for path in (folder, folder.parent, synthetic, small_checkpoint.parent, Path.home()):
        assert str(path) not in text


def test_an_engine_that_has_not_run_says_so_and_claims_no_result(gated, small_checkpoint) -> None:
    _, manifest, _ = gated
    target = dataclasses.replace(
        manifest.target, backend="tensorrt-rtx", compute_capability="8.6", version="1.2"
    )
    verification = {**manifest.verification, "status": "compiled, not run"}
    planned = dataclasses.replace(manifest, target=target, verification=verification)
    text = card(planned, Training.of(load_checkpoint(small_checkpoint))).decode()
    assert "model-index" not in front_matter(text)
    assert "This engine has not run on a GPU" in text
    assert "compute capability 8.6" in text
    assert name_of(planned).endswith("int8-tensorrt-rtx-sm86")


def test_without_labels_accuracy_is_not_measured(gated, small_checkpoint) -> None:
    _, manifest, _ = gated
    bare = dataclasses.replace(manifest, verification={**manifest.verification, "gate": None})
    text = card(bare, Training.of(load_checkpoint(small_checkpoint))).decode()
    assert "model-index" not in front_matter(text)
    assert "Accuracy of the engine on labels: not measured." in text

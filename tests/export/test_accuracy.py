"""INT8 that fails with one method's ranges is tried with the others' before units are ranked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch

from calibration.calibrate import calibrate
from calibration.gate import Limits
from calibration.scenes import Scene
from export.deploy import DeployOptions
from export.engine import build_engine
from export.material import prepare
from export.request import EngineRequest, Proof
from export.source import METHODS, Ranges, load_source
from export.targets import Target
from runtime.engine import load_engine
from runtime.manifest import Manifest
from train.checkpoint import Checkpoint, save_checkpoint
from train.inference import predict_maps
from train.model import DualHRNet
from train.quantisation.artefact import read_artefact
from train.xbd import find_tiles

SIDE, TILES = 128, 5
RANKING = "ranking the units"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, command: Callable) -> Path:
    """Tiles, of which one to calibrate on has a pixel in a colour that no other has."""
    out = tmp_path_factory.mktemp("data") / "tiles"
    result = command("train.synthesize", "--out", out, "--tiles", TILES + 1, "--size", 512)
    assert result.returncode == 0, result.stderr
    path = find_tiles(out, "train")[0].pre
    image = cv2.imread(str(path))
    image[100, 100] = 255, 0, 255
    cv2.imwrite(str(path), image)
    return out


def _plant(network: DualHRNet, gain: float) -> None:
    """A channel that answers to that colour alone, `gain` times, and that nothing reads: in
    floating point it changes no label; under minmax it takes the other channels' levels."""
    mean, std = torch.tensor(network.config.mean), torch.tensor(network.config.std)
    colour, threshold = torch.tensor([1.0, -2.0, 1.0]), 200
    with torch.no_grad():
        norm = network.pre.bn1
        network.pre.conv1.weight[0] = 0
        network.pre.conv1.weight[0, :, 1, 1] = 255 * std * colour
        norm.running_mean[0], norm.running_var[0], norm.weight[0] = 0, 1, gain
        norm.bias[0] = gain * (255 * (mean * colour).sum() - threshold)
        network.pre.conv2.weight[:, 0] = 0


@pytest.fixture
def build(plausible, data, tmp_path, capsys) -> Callable[..., tuple[Manifest, str, Path]]:
    """Build for OpenVINO with a planted channel; FP32's labels are taken for the truth, so that
    a score measures INT8 alone. The manifest, what was said, and the folder."""
    pytest.importorskip("openvino")

    def run(gain: float, limits: Limits, **ranges: object) -> tuple[Manifest, str, Path]:
        network = plausible()
        _plant(network, gain)
        path, out = tmp_path / "planted.pt", tmp_path / "engine"
        save_checkpoint(path, Checkpoint(model=network.config, model_state=network.state_dict()))
        request = EngineRequest(
            load_source(path),
            DeployOptions(SIDE, SIDE, precision="int8", int8_form="unsigned"),
            Target("openvino", None, "asked for"),
            Proof(
                data,
                gate_tiles=1,
                limits=limits,
                floor={"agreement": 0, "class_f1": 0, "probability": 1},
            ),
            ranges=Ranges(data=data, tiles=TILES, **ranges),
        )
        material = prepare([request], [out])
        scenes = []
        for scene in material.scenes[:2]:
            damage, *_ = predict_maps(network, scene.pre, scene.post)
            building = (damage > 0).astype(damage.dtype)
            scenes.append(Scene(scene.name, scene.pre, scene.post, building, damage))
        material = dataclasses.replace(material, scenes=scenes)
        return build_engine(request, material, out), capsys.readouterr().err, out

    return run


@pytest.mark.slow
def test_ranges_by_the_next_method_spare_the_ranking(build, data, tmp_path) -> None:
    limits = Limits(0.45, 0.55)
    manifest, said, out = build(0.5, limits)
    assert RANKING not in said
    assert "observing minmax, mse, percentile ranges on 5 tiles" in said
    assert said.count("trying those of") == 1
    verification = manifest.verification
    assert verification["high_precision"] == []
    ranges = verification["ranges"]
    assert ranges["method"] == "mse"
    failed, held = ranges["tried"]
    assert (failed["method"], held["method"]) == ("minmax", "mse")
    assert failed["broken"]
    assert not held["broken"]
    assert failed["score"] < held["score"] == verification["gate"]["candidate"]["score"]
    # What it was built with is what the command would have observed by that method.
    alone = calibrate(tmp_path / "planted.pt", data, "train", TILES, "mse")
    assert manifest.calibration == alone.fingerprint()
    assert read_artefact(out / "calibration.json") == alone
    with load_engine(out) as engine:
        assert engine.manifest.verification == verification


@pytest.mark.slow  # a whole engine for each method
def test_the_last_method_is_tried_too(build) -> None:
    manifest, said, _ = build(8, Limits(0.4, 0.5))
    assert RANKING not in said
    assert [each["method"] for each in manifest.verification["ranges"]["tried"]] == list(METHODS)
    assert manifest.verification["ranges"]["method"] == "percentile"


@pytest.mark.slow
def test_units_are_ranked_with_the_best_ranges_when_all_have_failed(build) -> None:
    manifest, said, _ = build(8, Limits(0.15, 0.25))
    assert "ranking the units that INT8 hurts, with percentile ranges" in said
    ranges = manifest.verification["ranges"]
    assert ranges["method"] == "percentile"
    scores = {each["method"]: each["score"] for each in ranges["tried"]}
    assert max(scores, key=scores.get) == "percentile"
    assert len(scores) == len(METHODS)
    assert manifest.verification["high_precision"]
    assert manifest.verification["gate"]["losses"]["score"] <= 0.15


@pytest.mark.slow
def test_a_method_that_was_asked_for_is_the_only_one(build) -> None:
    manifest, said, _ = build(0.5, Limits(0.45, 0.55), method="minmax")
    assert "observing minmax ranges on" in said
    assert "ranking the units that INT8 hurts, with minmax ranges" in said
    ranges = manifest.verification["ranges"]
    assert [ranges["method"], *(each["method"] for each in ranges["tried"])] == ["minmax"] * 2
    assert manifest.verification["high_precision"]

"""A planted bad unit is found by the ranking, and sparing it rescues the network."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from calibration.gate import Limits, Reference
from calibration.ranking import Subject, rank, spare
from calibration.scenes import Scene, cut_scenes
from runtime.errors import CalibrationError
from train.checkpoint import load_checkpoint
from train.inference import predict_maps
from train.model.inference_form import inference_form
from train.quantisation.artefact import Artefact, read_artefact
from train.quantisation.units import unit_of
from train.xbd import find_tiles

BAD = "post.stage3.branch1"


def shrink(artefact: Artefact, unit: str) -> Artefact:
    """The artefact with one unit's ranges a tenth of what they were."""
    ranges = {
        name: dataclasses.replace(span, amax=span.amax / 10)
        if unit_of(name.removesuffix(":skip")) == unit
        else span
        for name, span in artefact.ranges.items()
    }
    assert ranges != artefact.ranges
    return dataclasses.replace(artefact, ranges=ranges)


@pytest.fixture(scope="module")
def setting(
    small_checkpoint: Path, calibration_file: Path, synthetic: Path
) -> tuple[Subject, Subject, Reference]:
    """The network as calibrated, the same with a bad unit, and FP32. FP32's labels are taken
    for the truth, so that a score measures INT8 alone: the weights are random."""
    network = load_checkpoint(small_checkpoint).network()
    found = []
    for scene in cut_scenes(find_tiles(synthetic, "test"), 96, 96):
        damage, *_ = predict_maps(network, scene.pre, scene.post)
        building = (damage > 0).astype(damage.dtype)
        found.append(Scene(scene.name, scene.pre, scene.post, building, damage))
    reference = Reference(lambda pre, post: predict_maps(network, pre, post), found)
    artefact = read_artefact(calibration_file)
    form = inference_form(network)
    subjects = [
        Subject(form, network.config, each.ranges, "unsigned", 0.5)
        for each in (artefact, shrink(artefact, BAD))
    ]
    return *subjects, reference


def test_the_bad_unit_is_ranked_first_and_spared(setting) -> None:
    sound, bad, reference = setting
    harms = rank(bad, reference)
    assert harms[0].unit == BAD
    assert harms[0].disagreement > 2 * harms[1].disagreement
    assert sorted(harm.unit for harm in harms) == sorted(bad.units)
    # What the sound network loses is what this random one may lose.
    losses = sound.compare(reference, ()).losses
    limits = Limits(losses["score"] + 0.02, max(losses.values()) + 0.02)
    assert bad.compare(reference, ()).broken(limits)
    assert spare(bad, reference, harms, limits) == (BAD,)


@pytest.mark.slow
def test_a_gate_that_nothing_holds_is_an_error(setting) -> None:
    sound, _, reference = setting
    harms = rank(sound, reference)
    with pytest.raises(CalibrationError, match="no unit can be rounded"):
        spare(sound, reference, harms, Limits(-1, -1))


def test_all_units_spared_is_the_fp32_network(setting) -> None:
    sound, _, reference = setting
    found = sound.compare(reference, sound.units)
    assert found.label_agreement == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
def test_the_command_prints_and_plots_the_ranking(
    small_checkpoint: Path,
    calibration_file: Path,
    synthetic: Path,
    tmp_path: Path,
    command: Callable,
    error_line: Callable,
) -> None:
    line = (
        "calibration.sensitivity", "--checkpoint", small_checkpoint, "--data", synthetic,
        "--calibration", calibration_file, "--tiles", "1", "--size", "32", "32",
    )  # fmt: skip
    result = command(*line, "--json", "--plot", tmp_path / "ranking.png")
    assert result.returncode == 0, result.stderr
    ranking = json.loads(result.stdout)
    shares = [entry["disagreement"] for entry in ranking]
    assert shares == sorted(shares, reverse=True)
    assert {"pre.stem", "post.layer1", "heads.damage"} <= {entry["unit"] for entry in ranking}
    assert (tmp_path / "ranking.png").read_bytes().startswith(b"\x89PNG")
    assert "ends with .png or .svg" in error_line(*line, "--plot", tmp_path / "ranking.txt")
    assert "at least 1" in error_line(*line, "--tiles", "0")

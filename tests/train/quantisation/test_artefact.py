"""calibration.json: complete, tied to what it came from, refused otherwise."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from calibration.observe import observe
from calibration.tiles import choose, content_hashes
from runtime.errors import CalibrationError
from runtime.files import sha256
from train.checkpoint import load_checkpoint
from train.model.dual_hrnet import normalise
from train.model.inference_form import inference_form
from train.quantisation.artefact import Artefact, preprocessing_of, read_artefact
from train.quantisation.fake import Range
from train.quantisation.placement import sites
from train.xbd import find_tiles


def test_the_file_ranges_every_site_and_names_its_tiles(
    artefact: Artefact, small_checkpoint: Path, synthetic: Path
) -> None:
    graph = inference_form(load_checkpoint(small_checkpoint).network())
    assert set(artefact.ranges) == {site.name for site in sites(graph)}
    assert artefact.checkpoint_sha256 == sha256(small_checkpoint)
    assert len(artefact.tiles) == 4
    artefact.check_tiles(content_hashes(find_tiles(synthetic, "train")))


def test_ranges_are_those_of_a_plain_forward_pass(
    artefact: Artefact, small_checkpoint: Path, synthetic: Path
) -> None:
    network = load_checkpoint(small_checkpoint).network()
    tiles = {tile.name: tile for tile in find_tiles(synthetic, "train")}
    seen = []
    network.post.layer1[0].conv3.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].abs().max().item())
    )
    with torch.no_grad():
        for entry in artefact.tiles:
            images = [torch.from_numpy(i)[None] for i in tiles[entry["name"]].images()]
            network(*[normalise(image, network.config) for image in images])
    span = artefact.ranges["post.layer1.0.conv3"]
    assert span.amax == pytest.approx(max(seen), rel=1e-4)
    assert span.non_negative  # it follows a ReLU


@pytest.mark.parametrize("method", ["minmax", "entropy"])
def test_observing_does_not_depend_on_who_watches(
    small_checkpoint: Path, synthetic: Path, method: str
) -> None:
    network = load_checkpoint(small_checkpoint).network()
    tiles = find_tiles(synthetic, "train")[:2]
    graph = inference_form(network)
    first = observe(graph, network.config, tiles, method)
    second = observe(graph, network.config, tiles[::-1], method)
    largest = observe(graph, network.config, tiles, "minmax")
    for name, observer in first.items():
        assert observer.minimum == second[name].minimum
        assert observer.amax() <= largest[name].amax()


def test_another_checkpoint_is_refused(artefact: Artefact) -> None:
    with pytest.raises(CalibrationError, match="of another checkpoint"):
        artefact.check_belongs("0" * 64, artefact.preprocessing)


def test_another_normalisation_is_refused(artefact: Artefact) -> None:
    other = preprocessing_of((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    with pytest.raises(CalibrationError, match="of another preprocessing"):
        artefact.check_belongs(artefact.checkpoint_sha256, other)


def test_a_changed_or_missing_tile_is_refused(artefact: Artefact) -> None:
    hashes = [dict(tile) for tile in artefact.tiles]
    hashes[1]["post"] = "0" * 64
    with pytest.raises(CalibrationError, match=f"{hashes[1]['name']} has another content"):
        artefact.check_tiles(hashes)
    with pytest.raises(CalibrationError, match=f"{hashes[0]['name']} is gone"):
        artefact.check_tiles(hashes[1:])


@pytest.mark.parametrize("amax", [0.0, -1.0, math.nan, math.inf])
def test_a_range_that_cannot_be_quantised_is_refused(
    artefact: Artefact, tmp_path: Path, amax: float
) -> None:
    ranges = {**artefact.ranges, "post.conv2": Range(amax, True)}
    broken = dataclasses.replace(artefact, ranges=ranges)
    out = tmp_path / "calibration.json"
    with pytest.raises(CalibrationError, match=r"post.conv2: range .* cannot be quantised"):
        broken.write(out)
    assert not out.exists()


def test_the_fingerprint_tells_an_equalised_network_from_another(
    artefact: Artefact, tmp_path: Path
) -> None:
    plain = dataclasses.replace(artefact, equalised=False)
    assert artefact.equalised
    assert plain.fingerprint() != artefact.fingerprint()
    plain.write(tmp_path / "plain.json")
    assert read_artefact(tmp_path / "plain.json") == plain


def test_an_edited_file_is_refused(calibration_file: Path, tmp_path: Path) -> None:
    content = json.loads(calibration_file.read_text())
    content["ranges"]["pre.conv1"]["amax"] *= 0.5
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(content))
    with pytest.raises(CalibrationError, match="does not match its fingerprint"):
        read_artefact(path)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"format": 2}'])
def test_a_file_that_is_no_calibration_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(CalibrationError, match="not a calibration file"):
        read_artefact(path)


def test_a_newer_format_is_refused(calibration_file: Path, tmp_path: Path) -> None:
    content = json.loads(calibration_file.read_text())
    path = tmp_path / "c.json"
    path.write_text(json.dumps({**content, "format": 3}))
    with pytest.raises(CalibrationError, match="calibration format 3, expected 2"):
        read_artefact(path)


def test_tiles_of_every_disaster_come_in_turn(xbd_sample: Path) -> None:
    tiles = find_tiles(xbd_sample, "train")
    chosen = choose(tiles, 3)
    assert {t.disaster for t in chosen} == {"guatemala-volcano", "joplin-tornado", "socal-fire"}
    assert len({t.name for t in choose(tiles, 99)}) == len(tiles)
    assert choose(tiles, 5) == choose(list(tiles), 5)


def test_command_refuses_nonsense_in_one_line(
    small_checkpoint: Path, synthetic: Path, tmp_path: Path, error_line: Callable
) -> None:
    out = tmp_path / "c.json"
    common = ("calibration", "--checkpoint", small_checkpoint, "--data", synthetic, "--out", out)
    assert "at least 1" in error_line(*common, "--tiles", "0")
    assert "no such folder" in error_line(*common, "--split", "hold")
    assert not out.exists()

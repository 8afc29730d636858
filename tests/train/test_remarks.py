"""Data sets that can be trained on and yet are seldom meant: a note each, no error."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from runtime.errors import DataError
from train.check import TileFacts, check_tiles
from train.masks import MaskCache
from train.remarks import remarks
from train.xbd import find_tiles, survey

SQUARE = "POLYGON ((10 10, 20 10, 20 20, 10 20, 10 10))"
EVERY = [
    (name, SQUARE.replace("10", str(10 + 2 * i)).replace("20", str(20 + 2 * i)), name)
    for i, name in enumerate(("no-damage", "minor-damage", "major-damage", "destroyed"))
]


@pytest.fixture
def data(synthetic: Path, tmp_path: Path) -> Path:
    shutil.copytree(synthetic, tmp_path / "data")
    for label in (tmp_path / "data").glob("*/labels/*.json"):
        content = json.loads(label.read_text())
        del content["metadata"]["img_name"]  # which says so of a tile under another's name
        label.write_text(json.dumps(content))
    return tmp_path / "data"


def _facts(data: Path, split: str, tmp_path: Path) -> list[TileFacts]:
    return check_tiles(find_tiles(data, split), MaskCache(tmp_path / "masks"), 64).good


def _remarks(data: Path, tmp_path: Path) -> list[str]:
    train, test = (_facts(data, split, tmp_path) for split in ("train", "test"))
    return remarks("train", train, "test", test)


def test_an_ordinary_data_set_gets_none(tile_set: Callable, tmp_path: Path) -> None:
    root = tile_set(EVERY)
    facts = _facts(root, "train", tmp_path)
    assert remarks("train", facts, "val", []) == ["split val: holds no building at all; are these "
                                                  "the right labels?"]  # fmt: skip


def test_no_building_at_all_is_said(tile_set: Callable, tmp_path: Path) -> None:
    facts = _facts(tile_set([]), "train", tmp_path)
    assert "split train: holds no building at all" in remarks("train", facts, "train", facts)[0]


def test_classes_that_no_pixel_shows_are_named(tile_set: Callable, tmp_path: Path) -> None:
    facts = _facts(tile_set(EVERY[1:3]), "train", tmp_path)
    first = remarks("train", facts, "train", facts)[0]
    assert first == "split train: no pixel of no-damage, destroyed, which cannot be learnt"


def test_buildings_without_a_class_are_buildings(tile_set: Callable, tmp_path: Path) -> None:
    facts = _facts(tile_set([("a", SQUARE, "un-classified")]), "train", tmp_path)
    first = remarks("train", facts, "train", facts)[0]
    assert first.startswith("split train: no pixel of no-damage, minor-damage, major-damage, dest")


def _copy(tile: object, folder: Path, name: str, how: Callable = shutil.copy) -> None:
    """The tile again under another name in `folder`, by copies or links."""
    for kind, paths in (("images", (tile.pre, tile.post)), ("labels", tile.labels)):
        for path in paths:
            how(path, folder / kind / path.name.replace(tile.name, name))


@pytest.mark.parametrize("how", [shutil.copy, os.symlink, os.link])
def test_the_same_images_twice_in_one_split(how: Callable, data: Path, tmp_path: Path) -> None:
    tile = find_tiles(data, "train")[0]
    _copy(tile, data / "train", "again-fire_00000099", how)
    (line,) = [line for line in _remarks(data, tmp_path) if "of another" in line]
    assert line.startswith("split train: 1 tile with the images of another")
    assert tile.name in line
    assert "again-fire_00000099" in line


def test_the_same_images_in_training_and_validation(data: Path, tmp_path: Path) -> None:
    tile = find_tiles(data, "train")[0]
    _copy(tile, data / "test", tile.name)
    (line,) = [line for line in _remarks(data, tmp_path) if "too good" in line]
    assert line.startswith("split test: 1 tile of 3 with the same images as in train")
    assert tile.name in line


def test_another_format_of_the_same_pixels_is_the_same_image(data: Path, tmp_path: Path) -> None:
    tile = find_tiles(data, "train")[0]
    _copy(tile, data / "test", tile.name)
    for path in (data / "test/images").glob(f"{tile.name}_*"):
        assert cv2.imwrite(str(path.with_suffix(".tif")), cv2.imread(str(path)))
        path.unlink()
    assert [line for line in _remarks(data, tmp_path) if "too good" in line]


def test_one_image_as_both_of_a_pair(data: Path, tmp_path: Path) -> None:
    tile = find_tiles(data, "train")[0]
    shutil.copy(tile.pre, tile.post)
    (line,) = [line for line in _remarks(data, tmp_path) if "the one before" in line]
    assert line.endswith(f"first {tile.post}")


def test_the_command_says_so_and_trains(
    data: Path, small_checkpoint: Path, tmp_path: Path, command: Callable
) -> None:
    for label in (data / "train/labels").iterdir():
        label.write_text(json.dumps({"features": {"xy": [], "lng_lat": []}, "metadata": {}}))
    config = Path(__file__).parents[2] / "train/configs/demo.yaml"
    result = command(
        "train", "--config", config, "--data", data, "--out", tmp_path / "run", "data.crop=64",
        "schedule=[{epochs: 1, rate: 0.001}]",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "note: split train: holds no building at all" in result.stderr
    assert (tmp_path / "run/last.pt").exists()


@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".PNG", ".jpg"])
@pytest.mark.parametrize("when", ["pre", "post"])
def test_two_images_of_one_name_are_refused(suffix: str, when: str, tile_set: Callable) -> None:
    root = tile_set(EVERY)
    one = root / f"train/images/town-flood_00000000_{when}_disaster.png"
    other = one.with_suffix(suffix)
    assert cv2.imwrite(str(other), cv2.imread(str(one)))
    with pytest.raises(DataError, match=rf"{when}_disaster\.\w+: .* is there too") as caught:
        find_tiles(root, "train")
    assert one.name in str(caught.value)
    assert other.name in str(caught.value)
    tiles, problems = survey(root, "train")
    assert tiles == []  # neither is taken, and nothing else is said of them
    assert len(problems) == 1


def test_the_train_command_refuses_two_images_of_one_name(
    data: Path, tmp_path: Path, error_line: Callable
) -> None:
    tile = find_tiles(data, "train")[0]
    assert cv2.imwrite(str(tile.pre.with_suffix(".tif")), cv2.imread(str(tile.pre)))
    config = Path(__file__).parents[2] / "train/configs/demo.yaml"
    line = error_line("train", "--config", config, "--data", data, "--out", tmp_path / "run")
    assert f"{tile.pre.name} is there too" in line


def test_two_labels_of_one_name_are_refused(tile_set: Callable) -> None:
    root = tile_set(EVERY)
    label = root / "train/labels/town-flood_00000000_pre_disaster.json"
    shutil.copy(label, label.with_suffix(".JSON"))
    with pytest.raises(DataError, match="is there too, and a tile has one pre-disaster label"):
        find_tiles(root, "train")


def test_names_that_differ_in_case_alone_are_found(tile_set: Callable) -> None:
    root = tile_set(EVERY)
    for path in [*(root / "train/images").iterdir(), *(root / "train/labels").iterdir()]:
        path.rename(path.with_suffix(path.suffix.upper()))
    (tile,) = find_tiles(root, "train")
    assert tile.labelled


def test_jpegs_are_tiles_too_and_not_passed_over(tile_set: Callable) -> None:
    root = tile_set(EVERY)
    for path in (root / "train/images").iterdir():
        assert cv2.imwrite(str(path.with_suffix(".jpg")), cv2.imread(str(path)))
        path.unlink()
    (tile,) = find_tiles(root, "train")
    assert tile.images()[0].shape == (64, 64, 3)


def test_a_label_whose_footprints_all_lie_outside_is_named(
    tile_set: Callable, tmp_path: Path
) -> None:
    far = SQUARE.replace("10", "900").replace("20", "920")
    facts = _facts(tile_set([("a", far, "destroyed")]), "train", tmp_path)
    label = facts[0].tile.pre_label
    (line,) = [each for each in remarks("train", facts, "train", facts) if "outside" in each]
    assert (
        f"1 tile with a label whose footprints all lie outside of the tile, first {label}" in line
    )
    for buildings in ([], [("a", far, "destroyed"), ("b", SQUARE, "destroyed")]):
        facts = _facts(tile_set(buildings), "train", tmp_path)
        assert facts[0].outside is None

"""Corrected buildings as a data set that training reads, and as what adaptation takes."""

from __future__ import annotations

import json
from collections import Counter

import cv2
import numpy as np
import pytest

from runtime.corrections import Corrections
from runtime.corrections.xbd import Exported, export
from runtime.damage import IGNORE
from runtime.errors import ConfigError, ImageError
from runtime.source.pair import open_pair
from tests.runtime.corrections.conftest import LABEL, POST, PRE
from train.adaptation.corrections import find_corrections
from train.adaptation.features import read_features
from train.xbd import find_tiles


def _correct(folder) -> list[int]:
    with Corrections(folder) as corrections:
        first, second, third = [each.id for each in corrections.buildings()][3:6]
        corrections.set(first, "destroyed", "Ana")
        corrections.set(second, "not-a-building", "Ana")
        corrections.set(third, corrections.building(third).damage_class, "Ana")
        corrections.add([(200, 4), (230, 4), (230, 30), (200, 30)], "minor-damage", "Bo")
    return [first, second, third]


@pytest.mark.parametrize("name", ["picture", "placed"])
def test_training_reads_what_was_corrected(name, request, tmp_path):
    folder = request.getfixturevalue(name)
    first, second, third = _correct(folder)
    done = export(folder, tmp_path / "xbd")
    assert done == Exported(tiles=1, corrected=3, unchecked=70, not_a_building=1)
    (tile,) = find_tiles(tmp_path / "xbd", "train")
    pre, post = tile.images()
    assert (pre == cv2.imread(str(PRE))[..., ::-1]).all()
    assert (post == cv2.imread(str(POST))[..., ::-1]).all()
    before, after = tile.buildings
    assert len(before) == len(after) == 73
    found = {each.uid: each.damage for each in after}
    assert found[f"building-{first}"] == 4
    assert f"building-{second}" not in found
    assert found[f"building-{third}"] in (1, 2, 3, 4)
    assert found["drawn-4"] == 2
    assert Counter(found.values())[IGNORE] == 70
    building, damage = tile.targets(384, 384)
    assert building[10, 210] == 1
    assert damage[10, 210] == 2
    outline = np.round(Corrections(folder).building(first).centre).astype(int)
    assert damage[outline[1], outline[0]] == 4
    if name == "placed":
        from runtime.source.xbd_label import labelled_place

        label = tile.post_label
        with open_pair(tile.pre, tile.post, label=label) as again:
            assert again.georeference is not None
        assert labelled_place


def test_what_lies_in_several_tiles_is_told_once(picture, tmp_path, command):
    """Tiles of 64 pixels cut the drawn building, and one that is none, into parts."""
    with Corrections(picture) as corrections:
        wide = max(corrections.buildings(), key=lambda each: np.ptp(np.array(each.ring)[:, 0]))
        corrections.set(wide.id, "not-a-building", "Ana")
        corrections.add([(20, 4), (140, 4), (140, 20), (20, 20)], "minor-damage", "Bo")
    done = export(picture, tmp_path / "xbd", side=64)
    assert (done.corrected, done.not_a_building) == (1, 1)
    labels = [
        {each["properties"]["uid"] for each in json.loads(path.read_text())["features"]["xy"]}
        for path in (tmp_path / "xbd" / "train" / "labels").glob("*_post_disaster.json")
    ]
    assert sum(any(name.startswith("drawn-") for name in names) for names in labels) == 3
    assert done.unchecked == len(set().union(*labels)) - 1
    told = command("runtime.corrections", picture, "export", "--xbd", tmp_path / "again")
    assert "1 corrected buildings, 1 that are none and have no label, " in told.stdout, told.stderr


def test_unchecked_ones_have_the_class_of_the_map_where_that_is_asked_for(picture, tmp_path):
    _correct(picture)
    export(picture, tmp_path / "xbd", as_mapped=True)
    (tile,) = find_tiles(tmp_path / "xbd", "train")
    assert IGNORE not in {each.damage for each in tile.buildings[1]}


def test_tiles_without_a_correction_are_left_out(picture, tmp_path):
    Corrections(picture).add([(10, 10), (30, 10), (30, 30)], "destroyed", "Ana")
    done = export(picture, tmp_path / "xbd", side=128)
    assert (done.tiles, done.corrected) == (1, 1)
    (tile,) = find_tiles(tmp_path / "xbd", "train")
    assert tile.targets(128, 128)[1].max() == IGNORE
    content = json.loads(tile.post_label.read_text())
    assert content["metadata"]["height"] == 128


def test_an_export_that_cannot_be_is_refused(picture, tmp_path):
    with pytest.raises(ConfigError, match="nothing was corrected or found right"):
        export(picture, tmp_path / "xbd")
    assert not (tmp_path / "xbd").exists()
    _correct(picture)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(ConfigError, match="is there already; expected a new folder"):
        export(picture, tmp_path / "full")
    summary = json.loads((picture / "summary.json").read_text())
    summary["identity"]["images"][0][0][0] = "/gone/pre.png"
    (picture / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(ConfigError, match="/gone/pre.png: is not there any more; give the images"):
        export(picture, tmp_path / "xbd")
    assert export(picture, tmp_path / "xbd", pre=PRE).tiles == 1
    small = tmp_path / "small.png"
    cv2.imwrite(str(small), np.zeros((64, 64, 3), np.uint8))
    with pytest.raises((ConfigError, ImageError), match="small.png"):
        export(picture, tmp_path / "more", pre=small, post=small)


@pytest.mark.parametrize("name", ["picture", "placed"])
def test_adaptation_reads_a_map_with_corrections(name, request):
    folder = request.getfixturevalue(name)
    _correct(folder)
    label = LABEL if name == "placed" else None
    with open_pair(PRE, POST, label=label) as pair:
        for path in (folder, folder / "corrections.gpkg"):
            features = read_features(path, pair)
            found = find_corrections(features, None, pair.height, pair.width)
            assert not features.whole
            assert [each.damage for each in found][:2] == [4, 0]
            assert [each.damage for each in found][3] == 2
            assert found[3].box == (4, 200, 30, 230)


def test_adaptation_refuses_corrections_of_another_picture(picture, tmp_path):
    _correct(picture)
    small = tmp_path / "small.png"
    cv2.imwrite(str(small), np.full((64, 64, 3), 90, np.uint8))
    with (
        open_pair(small, small) as pair,
        pytest.raises(ConfigError, match="is of a map of 384x384 pixels .* expected the pair"),
    ):
        read_features(picture, pair)


def test_the_command_lists_sets_adds_removes_and_exports(command, error_line, picture, tmp_path):
    name = "runtime.corrections"
    assert command(name, picture, "set", "3", "destroyed", "--who", "Ana").returncode == 0
    done = command(name, picture, "add", "no-damage", "10,10", "30,10", "30,30", "--who", "Bo")
    assert "drawn" in done.stdout, done.stderr
    content = json.loads(command(name, picture, "--json").stdout)
    assert [each["who"] for each in content["corrections"]] == ["Ana", "Bo"]
    assert content["count"] == 2
    assert command(name, picture, "remove", "1").returncode == 0
    done = command(name, picture, "export", "--xbd", tmp_path / "xbd")
    assert "1 tiles" in done.stdout, done.stderr
    for wrong, message in (
        (("set", "3"), "expected the number of a BUILDING and its CLASS, not 3"),
        (("set", "3", "destroyed"), "who 'None': expected the name"),
        (("add", "no-damage", "1,1", "2,x", "3,3", "--who", "Bo"), "expected corners X,Y"),
        (("remove", "one"), "one: expected a whole number"),
        (("export",), "expected --xbd OUT"),
    ):
        assert message in error_line(name, picture, *wrong)

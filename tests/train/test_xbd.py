"""xBD on disk: the official masks, un-classified buildings, and every kind of broken tile."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.damage import IGNORE
from runtime.errors import DataError
from train.masks import MaskCache
from train.xbd import find_tiles, label_outside, read_label, splits, survey

SQUARE = "POLYGON ((10 10, 20 10, 20 20, 10 20, 10 10))"
OTHER = "POLYGON ((30.6 30.4, 40.5 30.4, 40.5 39.5, 30.6 39.5, 30.6 30.4))"


def test_masks_follow_fill_poly_of_rounded_corners(tile_set: Callable) -> None:
    root = tile_set([("a", SQUARE, "destroyed"), ("b", OTHER, "minor-damage")])
    (tile,) = find_tiles(root, "train")
    building, damage = tile.targets(64, 64)
    expected = np.zeros((64, 64), np.uint8)
    expected[10:21, 10:21] = 4  # fillPoly includes the border
    expected[30:41, 31:41] = 2  # 30.6 -> 31, 30.4 -> 30, 40.5 -> 40, 39.5 -> 40
    assert np.array_equal(damage, expected)
    assert np.array_equal(building, (expected > 0).astype(np.uint8))


def test_official_target_is_reproduced_exactly(xbd_sample: Path) -> None:
    # This tile has no building, so it shows only that none is invented; the closed form
    # above and the comparison below hold the rule itself.
    target = cv2.imread(str(xbd_sample / "train/targets/socal-fire_00000000.target.png"), -1)
    tile = next(t for t in find_tiles(xbd_sample, "train") if t.name == "socal-fire_00000000")
    assert np.count_nonzero(tile.targets(*target.shape)[0] != target) == 0


def test_real_footprints_cover_what_the_polygons_do(xbd_sample: Path) -> None:
    tile = next(t for t in find_tiles(xbd_sample, "train") if t.name == "joplin-tornado_00000000")
    before, after = tile.buildings
    assert {b.uid for b in before} == {b.uid for b in after}
    building, damage = tile.targets(1024, 1024)
    area = sum(b.polygon.area for b in before)
    # fillPoly includes the border pixels, so it covers a little more than the polygons.
    assert area < np.count_nonzero(building) < 1.2 * area
    assert set(np.unique(damage)) <= {0, 1, 2, 3, 4, IGNORE}
    assert {1, 2, 3, 4} <= set(np.unique(damage))


def test_unclassified_is_a_building_but_no_damage_class(tile_set: Callable) -> None:
    (tile,) = find_tiles(tile_set([("a", SQUARE, "un-classified")]), "train")
    building, damage = tile.targets(64, 64)
    assert set(np.unique(damage)) == {0, IGNORE}
    assert np.array_equal(building == 1, damage == IGNORE)


def test_later_polygon_wins_where_two_overlap(tile_set: Callable) -> None:
    (tile,) = find_tiles(
        tile_set([("a", SQUARE, "no-damage"), ("b", SQUARE, "destroyed")]), "train"
    )
    assert set(np.unique(tile.targets(64, 64)[1])) == {0, 4}


def test_tif_edition_is_read(tile_set: Callable) -> None:
    root = tile_set([("a", SQUARE, "no-damage")])
    for path in (root / "train/images").iterdir():
        cv2.imwrite(str(path.with_suffix(".tif")), cv2.imread(str(path)))
        path.unlink()
    (tile,) = find_tiles(root, "train")
    assert tile.images()[0].shape == (64, 64, 3)


def test_splits_are_those_with_labels(synthetic: Path) -> None:
    assert splits(synthetic) == ["test", "train"]


def test_label_without_image_is_named(tile_set: Callable) -> None:
    root = tile_set([("a", SQUARE, "no-damage")])
    for path in (root / "train/images").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"town-flood_00000000_post_disaster.json: label without"):
        find_tiles(root, "train")


def test_half_a_pair_is_named(tile_set: Callable) -> None:
    root = tile_set([])
    (root / "train/labels/town-flood_00000000_post_disaster.json").unlink()
    (root / "train/images/town-flood_00000000_post_disaster.png").unlink()
    with pytest.raises(DataError, match="pre_disaster.png: has no post-disaster image"):
        find_tiles(root, "train")


def test_image_without_label_is_named_unless_labels_are_not_needed(tile_set: Callable) -> None:
    root = tile_set([])
    (root / "train/labels/town-flood_00000000_post_disaster.json").unlink()
    with pytest.raises(DataError, match="has no label"):
        find_tiles(root, "train")
    assert len(find_tiles(root, "train", labelled=False)) == 1


def _add_tile(root: Path, name: str) -> list[Path]:
    """A second tile beside the first: its images and labels."""
    made = []
    for path in sorted((root / "train").rglob("town-flood_00000000_p*")):
        made.append(path.with_name(path.name.replace("town-flood_00000000", name)))
        made[-1].write_bytes(path.read_bytes())
    return made


def test_survey_finds_every_problem_at_once(tile_set: Callable) -> None:
    root = tile_set([("a", SQUARE, "no-damage")])
    images, labels = root / "train/images", root / "train/labels"
    whole = survey(root, "train")[0]
    assert [tile.name for tile in whole] == ["town-flood_00000000"]
    for number, removed in enumerate(("pre", "post"), 1):
        name = f"quake_0000000{number}"
        for path in _add_tile(root, name):
            if path.name.startswith(f"{name}_{removed}") and path.parent == images:
                path.unlink()
    for path in _add_tile(root, "quake_00000003"):
        if path == labels / "quake_00000003_post_disaster.json":
            path.unlink()
    (images / "holiday.png").write_bytes(b"")
    (labels / "notes.json").write_text("{}")
    tiles, problems = survey(root, "train")
    assert tiles == whole
    expected = {
        (images / "holiday.png", "not an xBD name"),
        (labels / "notes.json", "not an xBD name"),
        (labels / "quake_00000001_pre_disaster.json", "label without image"),
        (labels / "quake_00000002_post_disaster.json", "label without image"),
        (images / "quake_00000001_post_disaster.png", "has no pre-disaster image"),
        (images / "quake_00000002_pre_disaster.png", "has no post-disaster image"),
        (images / "quake_00000003_pre_disaster.png", "has no label"),
    }
    assert len(problems) == len(expected)
    for path, text in expected:
        assert [line for line in problems if line.startswith(f"{path}: {text}")], path
    with pytest.raises(DataError) as caught:
        find_tiles(root, "train")
    assert str(caught.value) == problems[0]
    unlabelled, problems = survey(root, "train", labelled=False)
    assert [tile.name for tile in unlabelled] == ["quake_00000003", "town-flood_00000000"]
    assert not [line for line in problems if "has no label" in line]


def test_tiles_are_sorted_by_name(tile_set: Callable) -> None:
    root = tile_set([])
    for name in ("town-flood_00000000_1", "town-flood_00000000-b_2", "a_9", "a_10"):
        _add_tile(root, name)
    names = [tile.name for tile in find_tiles(root, "train")]
    assert len(names) == 5
    assert names == sorted(names)


@pytest.mark.parametrize(
    ("wkt", "subtype", "message"),
    [
        ("POLYGON ((1 1, 2 2", "no-damage", "building a has an unparsable WKT"),
        ("POINT (1 1)", "no-damage", "building a is not a polygon"),
        ("POLYGON EMPTY", "no-damage", "building a is not a polygon"),
        ("POLYGON ((0 0, 2e9 0, 0 2e9, 0 0))", "no-damage", "building a has a corner not within"),
        ("POLYGON ((0 0, 1 nan, 2 2, 0 0))", "no-damage", "building a has a corner not within"),
        (SQUARE, "scratched", "subtype 'scratched'; expected one of no-damage, minor-damage"),
        (SQUARE, ["destroyed"], r"subtype \['destroyed'\]; expected one of"),
    ],
)
def test_unusable_label_names_file_and_building(
    tile_set: Callable, wkt: str, subtype: object, message: str
) -> None:
    (tile,) = find_tiles(tile_set([("a", wkt, subtype)]), "train")
    with pytest.raises(DataError, match=message) as caught:
        tile.targets(64, 64)
    assert "town-flood_00000000" in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"features": {}}',
        '{"features": {"xy": null}}',
        '{"features": {"xy": [1]}}',
        '{"features": {"xy": [{"properties": ["uid"]}]}}',
    ],
)
def test_label_that_is_no_xbd_label_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "label.json"
    path.write_text(content)
    with pytest.raises(DataError, match="label.json"):
        read_label(path, damage=False)


def test_absent_split_names_those_that_exist(synthetic: Path) -> None:
    with pytest.raises(DataError, match="found here: test, train"):
        find_tiles(synthetic, "tier3")


def test_a_folder_above_or_below_the_data_set_is_named_with_it(synthetic: Path) -> None:
    meant = rf"found here: none, but in {synthetic}: test, train\)"
    for root in (synthetic / "train", synthetic / "train" / "images", synthetic.parent):
        with pytest.raises(DataError, match=meant):
            find_tiles(root, "train")


def test_foreign_file_name_is_refused(tile_set: Callable) -> None:
    root = tile_set([])
    (root / "train/images/holiday.png").write_bytes(b"")
    with pytest.raises(DataError, match="holiday.png: not an xBD name"):
        find_tiles(root, "train")


def test_json_labels_of_real_tiles_all_parse(xbd_sample: Path) -> None:
    for split in splits(xbd_sample):
        for tile in find_tiles(xbd_sample, split):
            features = json.loads(tile.post_label.read_text())["features"]["xy"]
            assert len(tile.buildings[1]) == len(features)


CORNER = "POLYGON ((1 1, 9 1, 9 9, 1 9, 1 1))"


def _say(label: Path, **metadata: object) -> None:
    content = json.loads(label.read_text())
    content["metadata"] = metadata
    label.write_text(json.dumps(content))


@pytest.mark.parametrize(("which", "key"), [(0, "width"), (1, "height")])
def test_a_label_of_an_image_of_another_size_is_refused(tile_set, tmp_path, which, key) -> None:
    (tile,) = find_tiles(tile_set([("a", CORNER, "destroyed")]), "train")
    label = tile.labels[which]
    _say(label, **{"width": 64, "height": 64})
    tile.targets(64, 64)
    _say(label, **{"width": 64, "height": 64, key: 128})
    for targets in (tile.targets, partial(MaskCache(tmp_path / "masks").targets, tile)):
        with pytest.raises(DataError) as caught:
            targets(64, 64)
        assert str(caught.value).startswith(
            f"{label}: its metadata.{key} is 128, its image has a {key} of 64 pixels"
        )


@pytest.mark.parametrize(
    "name", ["town-flood_00000001_pre_disaster.png", "x/a_1_post_disaster.tif"]
)
def test_a_label_of_another_tile_is_refused(tile_set, name) -> None:
    (tile,) = find_tiles(tile_set([("a", CORNER, "destroyed")]), "train")
    _say(tile.pre_label, img_name=name)
    with pytest.raises(DataError, match="is the label of another tile, its metadata.img_name is"):
        tile.targets(64, 64)


@pytest.mark.parametrize("name", ["town-flood_00000000_post_disaster.tif", "scene 7.png", None, 3])
def test_a_label_that_names_its_tile_or_none_is_read(tile_set, name) -> None:
    (tile,) = find_tiles(tile_set([("a", CORNER, "destroyed")]), "train")
    _say(tile.pre_label, img_name=name)
    assert tile.targets(64, 64)[0].any()


def test_masks_of_one_tile_do_not_vouch_for_another(tile_set, tmp_path) -> None:
    (tile,) = find_tiles(tile_set([("a", CORNER, "destroyed")]), "train")
    for label in tile.labels:
        _say(label, img_name=f"{label.stem}.png")
    masks = MaskCache(tmp_path / "masks")
    masks.targets(tile, 64, 64)
    for path in (tile.pre, tile.post, *tile.labels):
        path.rename(path.with_name(path.name.replace("00000000", "00000001")))
    (other,) = find_tiles(tmp_path / "tiles", "train")
    with pytest.raises(DataError, match="is the label of another tile"):
        masks.targets(other, 64, 64)


def test_labels_of_real_and_of_synthetic_tiles_are_of_their_images(synthetic, xbd_sample) -> None:
    for root, split in ((synthetic, "train"), (xbd_sample, "train"), (xbd_sample, "tier3")):
        for tile in find_tiles(root, split):
            building, damage = tile.targets(*tile.images()[0].shape[:2])
            assert label_outside(tile, building, damage) is None


@pytest.mark.parametrize(
    "wkt",
    [
        "MULTIPOLYGON (((1 1, 9 1, 9 9, 1 9, 1 1)), EMPTY)",
        "MULTIPOLYGON (EMPTY, ((1 1, 9 1, 9 9, 1 9, 1 1)))",
        "POLYGON ((1 1, 9 1, 9 9, 1 9, 1 1), EMPTY)",
    ],
)
def test_empty_parts_outline_nothing(tile_set, wkt) -> None:
    (plain,) = find_tiles(tile_set([("a", CORNER, "destroyed")]), "train")
    wanted = plain.targets(64, 64)
    (tile,) = find_tiles(tile_set([("a", wkt, "destroyed")]), "train")
    for found, mask in zip(tile.targets(64, 64), wanted, strict=True):
        assert np.array_equal(found, mask)


@pytest.mark.parametrize("wkt", ["MULTIPOLYGON (EMPTY, EMPTY)", "POLYGON EMPTY", "POLYGON (EMPTY)"])
def test_a_footprint_without_a_corner_is_refused(tile_set, wkt) -> None:
    (tile,) = find_tiles(tile_set([("a", wkt, "destroyed")]), "train")
    with pytest.raises(DataError, match="building a is not a polygon|unparsable"):
        tile.targets(64, 64)

"""The synthetic data set: reproducible, in xBD's format, and damaged the way disasters damage."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from shapely import wkt
from shapely.geometry import Polygon

from runtime.damage import CLASS_NAMES, DESTROYED, IGNORE, NO_DAMAGE
from runtime.errors import ConfigError
from train import synthesize
from train.synthetic.plan import Plan, plan_tile
from train.synthetic.scene import Scene, make_scene
from train.xbd import find_tiles

SEED, TILES, SIZE = 5, 6, 128

METADATA_KEYS = {
    "sensor",
    "provider_asset_type",
    "gsd",
    "capture_date",
    "off_nadir_angle",
    "pan_resolution",
    "sun_azimuth",
    "sun_elevation",
    "target_azimuth",
    "disaster",
    "disaster_type",
    "catalog_id",
    "original_width",
    "original_height",
    "width",
    "height",
    "id",
    "img_name",
}
"""Of a real xBD label file."""


def arguments(out: Path, *more: str) -> argparse.Namespace:
    line = f"--out {out} --tiles {TILES} --size {SIZE} --seed {SEED}".split()
    return synthesize.parser().parse_args([*line, *more])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "xbd"
    synthesize.main(arguments(out, "--test-share", "0.34"))
    return out


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    return [plan_tile(SEED, index, 128) for index in range(250)]


@pytest.fixture(scope="module")
def tiles() -> list[Scene]:
    return [make_scene(SEED, index, 256) for index in range(12)]


def label_pairs(folder: Path) -> list[tuple[dict, dict]]:
    posts = sorted(folder.glob("*/labels/*_post_disaster.json"))
    pres = [path.with_name(path.name.replace("_post_", "_pre_")) for path in posts]
    return [
        (json.loads(a.read_text()), json.loads(b.read_text()))
        for a, b in zip(pres, posts, strict=True)
    ]


def features(label: dict, kind: str = "xy") -> dict[str, Polygon]:
    return {f["properties"]["uid"]: wkt.loads(f["wkt"]) for f in label["features"][kind]}


def test_a_tile_is_the_same_each_time_it_is_made():
    first, second = make_scene(SEED, 3, 96), make_scene(SEED, 3, 96)
    np.testing.assert_array_equal(first.pre, second.pre)
    np.testing.assert_array_equal(first.post, second.post)
    assert [b.uid for b in first.buildings] == [b.uid for b in second.buildings]
    assert (make_scene(SEED + 1, 3, 96).pre != first.pre).any()


def test_the_command_writes_the_tiles_that_make_scene_makes(dataset: Path):
    for index in range(TILES):
        tile = make_scene(SEED, index, SIZE)
        for when, expected in (("pre", tile.pre), ("post", tile.post)):
            (path,) = dataset.glob(f"*/images/{tile.disaster}_{index:08d}_{when}_disaster.png")
            written = cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]
            np.testing.assert_array_equal(written, expected)


def test_the_set_does_not_depend_on_the_number_of_processes(dataset: Path, tmp_path: Path):
    synthesize.main(arguments(tmp_path / "again", "--test-share", "0.34", "--workers", "1"))
    files = sorted(p.relative_to(dataset) for p in dataset.rglob("*") if p.is_file())
    assert len(files) == 4 * TILES
    for path in files:
        assert (dataset / path).read_bytes() == (tmp_path / "again" / path).read_bytes()


def test_layout_and_keys_are_those_of_xbd(dataset: Path):
    for split, count in (("train", 4), ("test", 2)):
        images = {path.stem for path in (dataset / split / "images").iterdir()}
        labels = {path.stem for path in (dataset / split / "labels").iterdir()}
        assert images == labels
        assert len(images) == 2 * count
        name = re.compile(r"synthetic-(wind|fire|flood|quake)_\d{8}_(pre|post)_disaster")
        assert all(name.fullmatch(stem) for stem in images)
    for pair in label_pairs(dataset):
        for when, label in zip(("pre", "post"), pair, strict=True):
            assert set(label) == {"features", "metadata"}
            assert set(label["features"]) == {"lng_lat", "xy"}
            assert set(label["metadata"]) == METADATA_KEYS
            assert label["metadata"]["width"] == label["metadata"]["height"] == SIZE
            assert label["metadata"]["img_name"].endswith(f"_{when}_disaster.png")
            for feature in label["features"]["xy"] + label["features"]["lng_lat"]:
                properties = feature["properties"]
                assert properties["feature_type"] == "building"
                if when == "post":
                    assert properties["subtype"] in {*CLASS_NAMES[1:], "un-classified"}
                else:
                    assert "subtype" not in properties


def test_uid_links_the_same_polygon_in_both_labels(dataset: Path):
    seen = 0
    for pre, post in label_pairs(dataset):
        assert features(pre) == features(post)
        assert features(pre, "lng_lat").keys() == features(pre).keys()
        seen += len(features(pre))
    assert seen > TILES


def test_lng_lat_is_an_affine_of_xy(dataset: Path):
    for pre, _ in label_pairs(dataset):
        geographic = features(pre, "lng_lat")
        if len(geographic) < 2:
            continue
        xy = np.concatenate([np.array(p.exterior.coords) for p in features(pre).values()])
        lng_lat = np.concatenate([np.array(p.exterior.coords) for p in geographic.values()])
        design = np.column_stack([xy, np.ones(len(xy))])
        # The fit loses digits unless it is centred.
        moved = lng_lat - lng_lat.mean(0)
        affine, *_ = np.linalg.lstsq(design, moved, rcond=None)
        # A millionth of a pixel: a pixel is about 5e-6 degrees.
        np.testing.assert_allclose(design @ affine, moved, atol=5e-12, rtol=0)
        assert affine[0, 0] > 0 > affine[1, 1]


def test_polygons_are_simple_in_bounds_apart_and_not_tiny(plans: list[Plan]):
    for plan in plans[:80]:
        polygons = [Polygon(outline) for outline in plan.outlines]
        for index, polygon in enumerate(polygons):
            assert polygon.is_valid
            assert polygon.area >= 20
            left, top, right, bottom = polygon.bounds
            assert min(left, top) >= 0
            assert max(right, bottom) <= plan.size - 1
            assert not any(polygon.intersects(other) for other in polygons[:index])


def test_every_class_has_its_share_and_some_tiles_are_empty(plans: list[Plan]):
    damage = np.concatenate([plan.damage for plan in plans])
    shares = {k: float((damage == k).mean()) for k in (1, 2, 3, 4, IGNORE)}
    assert 0.35 < shares[1] < 0.62
    assert all(0.09 < shares[k] < 0.27 for k in (2, 3, 4))
    assert 0.002 < shares[IGNORE] < 0.04
    assert 0.05 < np.mean([len(plan.damage) == 0 for plan in plans]) < 0.18
    assert 0.08 < np.mean([plan.event.quiet for plan in plans]) < 0.24
    assert {plan.event.kind for plan in plans} == {"wind", "fire", "flood", "quake"}


def test_neighbours_fare_alike():
    rng = np.random.default_rng(0)
    near, shuffled = [], []
    for index in range(30):
        plan = plan_tile(SEED, index, 256)
        known = plan.damage != IGNORE
        if plan.event.quiet or known.sum() < 5:
            continue
        damage = plan.damage[known]
        centres = np.array([b.centre for b in plan.buildings])[known]
        apart = np.linalg.norm(centres[:, None] - centres[None], axis=2)
        np.fill_diagonal(apart, np.inf)
        near += abs(damage - damage[apart.argmin(1)]).tolist()
        # Shuffled within the tile: an event in some tiles and none in others does not count.
        mixed = rng.permutation(damage)
        shuffled += abs(mixed - mixed[apart.argmin(1)]).tolist()
    assert len(near) > 150
    assert np.mean(near) < 0.8 * np.mean(shuffled)


def test_destroyed_buildings_change_and_undamaged_ones_hardly(tiles: list[Scene]):
    change: dict[int, list[float]] = {NO_DAMAGE: [], DESTROYED: []}
    for tile in tiles:
        pre, post = (cv2.GaussianBlur(p, (0, 0), 2).astype(float) for p in (tile.pre, tile.post))
        gain = np.median(post / np.maximum(pre, 1), axis=(0, 1))
        difference = abs(pre * gain - post).mean(2)
        for building in tile.buildings:
            if building.damage in change:
                mask = np.zeros(difference.shape, np.uint8)
                cv2.fillPoly(mask, [np.rint(building.polygon).astype(np.int32)], 1)
                change[building.damage].append(difference[mask > 0].mean())
    assert min(len(values) for values in change.values()) > 10
    assert np.median(change[DESTROYED]) > 1.5 * np.median(change[NO_DAMAGE])


def test_the_two_pictures_are_a_little_out_of_register(tiles: list[Scene]):
    drifts = [tile.drift for tile in tiles]
    assert min(drifts) > 0
    assert max(drifts) <= 3
    assert max(drifts) > 1


def test_pictures_are_rgb_bytes_of_the_asked_size(tiles: list[Scene]):
    for tile in tiles:
        for picture in (tile.pre, tile.post):
            assert picture.shape == (256, 256, 3)
            assert picture.dtype == np.uint8
            assert picture.std() > 10


def test_what_chooses_is_drawn_after_what_is_reported(dataset: Path, tmp_path: Path):
    synthesize.main(arguments(tmp_path / "more", "--test-share", "0.34", "--hold-share", "0.34"))
    numbers = [
        sorted(int(tile.name.rpartition("_")[2]) for tile in find_tiles(tmp_path / "more", split))
        for split in ("train", "test", "hold")
    ]
    shared = round(TILES * 0.34)
    assert [each for some in numbers for each in some] == list(range(TILES))
    assert len(numbers[1]) == len(numbers[2]) == shared
    assert not (dataset / "hold").exists()


def test_a_share_of_the_tiles_has_no_building_and_the_others_are_as_before(tmp_path: Path):
    out = tmp_path / "set"
    more = ("--tiles", "5", "--empty-share", "0.4", "--test-share", "0", "--workers", "1")
    synthesize.main(arguments(out, *more))
    counts = [len(features(before)) for before, _ in label_pairs(out)]
    drawn = [len(make_scene(SEED, i, SIZE).buildings) for i in range(5)]
    assert sorted(counts) == sorted(0 if i in (2, 4) else drawn[i] for i in range(5))
    assert make_scene(SEED, 2, SIZE).buildings  # it would have had some
    assert not make_scene(SEED, 2, SIZE, "empty").buildings


@pytest.mark.parametrize(("empty", "hamlets"), [(0, 0.3), (0.4, 0.35), (0.5, 0.5), (0, 1), (1, 0)])
def test_tiles_are_asked_for_as_often_as_wanted_and_evenly(empty: float, hamlets: float):
    asked = [synthesize.settlement_of(empty, hamlets, index) for index in range(400)]
    for some in (asked, asked[:200]):
        assert abs(some.count("empty") - empty * len(some)) <= 1
        assert abs(some.count("hamlet") - hamlets * len(some)) <= 1


@pytest.mark.parametrize("size", [512, 1024])
def test_a_hamlet_has_a_few_neighbours_and_nothing_beside_them(size: int):
    squares = (size // 512) ** 2
    counts = [len(plan_tile(SEED, index, size, "hamlet").buildings) for index in range(20)]
    assert min(counts) >= 1
    assert max(counts) <= 8 * squares
    assert len(set(counts)) > 4


def test_shares_of_more_than_all_tiles_are_refused(tmp_path: Path):
    more = ("--empty-share", "0.6", "--hamlet-share", "0.5")
    with pytest.raises(ConfigError, match=r"0\.6 and --hamlet-share 0\.5: expected 1 together"):
        synthesize.main(arguments(tmp_path / "set", *more))


def test_a_non_empty_output_is_refused_and_left_alone(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError, match="new or empty folder"):
        synthesize.main(arguments(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "bad",
    [
        *[("--size", "100"), ("--size", "32"), ("--tiles", "0"), ("--test-share", "1.5")],
        *[("--hold-share", "-0.1"), ("--hold-share", "1")],
    ],
)
def test_values_out_of_range_are_refused(tmp_path: Path, bad: tuple[str, str]):
    with pytest.raises(ConfigError, match=bad[0]):
        synthesize.main(arguments(tmp_path / "new", *bad))
    assert not (tmp_path / "new").exists()


def test_help_is_quick():
    command = [sys.executable, "-m", "train.synthesize", "--help"]
    root = Path(synthesize.__file__).parents[1]
    spent = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=root)
        spent.append(time.perf_counter() - start)
    # The best of three: other work on the machine only ever adds time.
    assert min(spent) < 0.5


def test_help_needs_no_opencv_and_tiles_need_no_torch():
    code = (
        "import sys, train.synthesize as s; s.parser().format_help();"
        "assert not {'cv2', 'numpy', 'torch'} & set(sys.modules);"
        "import train.synthetic.scene, train.synthetic.labels; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

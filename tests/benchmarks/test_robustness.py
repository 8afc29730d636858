"""Corruptions against other libraries, and figures under them against plain NumPy."""

from __future__ import annotations

import io
import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from benchmarks.robustness.__main__ import CLEAN, main, measure, parser, spread
from benchmarks.robustness.corruptions import (
    CORRUPTIONS,
    blur,
    brightness,
    jpeg,
    misregistration,
)
from runtime.engine import load_engine
from runtime.errors import ConfigError, DataError
from runtime.score import Counts
from train.xbd import find_tiles

MOVES = {0: (0, 1), 1: (1, 0), 2: (0, -1), 3: (-1, 0)}  # rows, columns by turn


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Smooth as a photograph is, in three different channels."""
    noise = np.random.default_rng(0).normal(size=(48, 56, 3))
    smooth = ndimage.gaussian_filter(noise, (3, 3, 0))
    return np.uint8(np.clip(128 + smooth / smooth.std() * 40, 0, 255))


@given(pixels=st.integers(0, 12), turn=st.integers(0, 9))
def test_a_moved_image_is_a_rolled_one_inside_the_border(image, pixels, turn):
    moved = misregistration(image, pixels, turn)
    rows, columns = (pixels * step for step in MOVES[turn % 4])
    inner = np.s_[pixels : image.shape[0] - pixels, pixels : image.shape[1] - pixels]
    assert moved.shape == image.shape
    assert np.array_equal(moved[inner], np.roll(image, (rows, columns), (0, 1))[inner])


def test_what_moves_in_is_the_reflection(image):
    framed = cv2.copyMakeBorder(image, 0, 0, 5, 0, cv2.BORDER_REFLECT_101)
    assert np.array_equal(misregistration(image, 5, turn=0), framed[:, : image.shape[1]])


@pytest.mark.parametrize("sigma", [0.5, 1, 2.3, 3])
def test_blur_is_scipys(image, sigma):
    expected = ndimage.gaussian_filter(
        image.astype(float), (sigma, sigma, 0), mode="mirror", truncate=3
    )
    assert np.abs(blur(image, sigma).astype(float) - expected).max() < 1.6


@given(value=st.integers(0, 255), sigma=st.floats(0.2, 5))
def test_a_blurred_constant_is_constant(value, sigma):
    flat = np.full((16, 16, 3), value, np.uint8)
    assert np.array_equal(blur(flat, sigma), flat)


@pytest.mark.parametrize("quality", [15, 50, 90])
def test_jpeg_is_what_pillow_makes_of_the_same_image(image, quality):
    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=quality, subsampling="4:2:0")
    expected = np.asarray(Image.open(content)).astype(int)
    gap = np.abs(jpeg(image, quality) - expected)
    assert gap.mean() < 0.5
    assert np.abs(image - expected).mean() > 2 * gap.mean()


def test_a_lower_quality_is_further_away(image):
    errors = [np.abs(jpeg(image, q).astype(int) - image).mean() for q in (15, 50, 90)]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("factor", [0, 0.25, 0.5, 1.5, 2, 3])
def test_brightness_multiplies_and_saturates(image, factor):
    expected = np.clip(np.rint(image.astype(float) * factor), 0, 255)
    assert np.array_equal(brightness(image, factor), expected)


@pytest.mark.parametrize(
    ("name", "level"), [("blur", 0), ("brightness", 1), ("misregistration", 0)]
)
@pytest.mark.parametrize("turn", range(4))
def test_no_severity_is_the_clean_image(image, name, level, turn):
    assert np.array_equal(CORRUPTIONS[name].apply(image, level, turn), image)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_leaves_its_input_alone(image, name):
    before, each = image.copy(), CORRUPTIONS[name]
    for level in each.levels:
        changed = each.apply(image, level, 1)
        assert (changed.shape, changed.dtype) == (image.shape, np.uint8)
        assert not np.array_equal(changed, image)
    assert np.array_equal(image, before)


def test_figures_are_of_the_moved_post_image_inside_the_border(engines, tiny_data):
    """The tiny engine is a formula of single pixels, so that NumPy can move its answer."""
    tiles = find_tiles(tiny_data, "test")
    levels = {"blur": [0.0], "brightness": [0.5], "misregistration": [0, 2, 5]}
    with load_engine(engines[0]) as engine:
        found = measure(engine, tiles, levels)
    inner = np.s_[5:-5, 5:-5]

    def expected(change) -> Counts:
        counts = Counts()
        for turn, tile in enumerate(tiles):
            pre, post = (each[..., 0] for each in tile.images())
            red = change(post, turn)
            damage = np.where(pre >= 128, np.maximum(red // 60, 1), 0)[inner]
            counts.add(damage, damage, *(each[inner] for each in tile.targets(64, 64)))
        return counts

    clean = expected(lambda post, _: post)
    assert found[CLEAN].as_dict() == clean.as_dict()
    assert found["blur", 0].as_dict() == clean.as_dict()
    assert found["misregistration", 0].as_dict() == clean.as_dict()
    dark = expected(lambda post, _: np.rint(post * 0.5).astype(np.uint8))
    assert found["brightness", 0.5].as_dict() == dark.as_dict()
    for pixels in (2, 5):
        moved = expected(
            lambda post, turn, n=pixels: np.roll(post, [n * s for s in MOVES[turn]], (0, 1))
        )
        assert found["misregistration", pixels].as_dict() == moved.as_dict()
        assert moved.damage_f1 != clean.damage_f1
        # Footprints and the pre image stay, and so does where this engine sees a building.
        assert moved.localization_f1 == clean.localization_f1


@pytest.mark.parametrize("image", ["pre", "both"])
def test_the_image_before_or_both_can_be_worse_and_the_post_image_is_what_moves(
    engines, tiny_data, image
):
    tiles = find_tiles(tiny_data, "test")
    levels = {"brightness": [0.5], "misregistration": [5]}
    with load_engine(engines[0]) as engine:
        found = measure(engine, tiles, levels, image)
        moved = measure(engine, tiles, {"misregistration": [5]})
    expected, inner = Counts(), np.s_[5:-5, 5:-5]
    for tile in tiles:
        pre, post = (each[..., 0] for each in tile.images())
        pre, red = np.rint(pre * 0.5), np.rint(post * (0.5 if image == "both" else 1))
        damage = np.uint8(np.where(pre >= 128, np.maximum(red // 60, 1), 0)[inner])
        expected.add(damage, damage, *(each[inner] for each in tile.targets(64, 64)))
    assert found["brightness", 0.5].as_dict() == expected.as_dict()
    assert found["brightness", 0.5].as_dict() != found[CLEAN].as_dict()
    assert found["misregistration", 5].as_dict() == moved["misregistration", 5].as_dict()


def test_the_command_writes_what_it_prints(python, engines, tiny_data, tmp_path):
    out = tmp_path / "robustness.json"
    line = ("-m", "benchmarks.robustness", "--engine", engines[0], "--data", tiny_data)
    result = python(*line, "--out", out)
    assert result.returncode == 0, result.stderr
    record = json.loads(out.read_text())
    assert {"kind", "engine", "data", "machine", "image", "border", "clean", "curves"} == {*record}
    assert (record["kind"], record["image"], record["border"]) == ("robustness", "post", 8)
    assert record["engine"]["name"] == "cpu-fp32"
    assert record["data"]["tiles"] == 2
    for name, each in CORRUPTIONS.items():
        curve = record["curves"][name]
        assert curve["unit"] == each.unit
        assert [point["level"] for point in curve["points"]] == list(each.levels)
    *_, last = result.stdout.splitlines()
    point = record["curves"]["misregistration"]["points"][-1]
    assert last.split()[2:] == [
        "8",
        *(f"{point['score']:.4f}", f"{point['score'] - record['clean']['score']:+.4f}"),
        *(f"{point['localization_f1']:.4f}", f"{point['damage_f1']:.4f}"),
    ]


def test_levels_and_tiles_can_be_chosen(engines, tiny_data, tmp_path):
    out = tmp_path / "robustness.json"
    line = f"--engine {engines[0]} --data {tiny_data} --out {out} --tiles 1 --jpeg 80 --blur 0 2"
    main(parser().parse_args([*line.split(), "--misregistration", "3"]))
    record = json.loads(out.read_text())
    assert (record["data"]["tiles"], record["border"]) == (1, 3)
    blurred = record["curves"]["blur"]["points"]
    assert blurred[0] == {"level": 0, **record["clean"]}
    assert [point["level"] for point in record["curves"]["jpeg"]["points"]] == [80]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--jpeg", "0"], ConfigError, "--jpeg 0: expected 1 to 100"),
        (["--blur", "-1"], ConfigError, "--blur -1.0: expected 0 to"),
        (["--misregistration", "2", "-1"], ConfigError, "--misregistration -1"),
        (["--tiles", "0"], ConfigError, "--tiles 0"),
        (["--misregistration", "32"], DataError, "synthetic-a_00000001: .* 64x64, nothing is left"),
    ],
)
def test_what_cannot_be_measured_is_refused(engines, tiny_data, arguments, error, message):
    line = ["--engine", str(engines[0]), "--data", str(tiny_data), *arguments]
    with pytest.raises(error, match=message):
        main(parser().parse_args(line))


def test_some_tiles_are_spread_over_all():
    tiles = list(range(10))
    assert spread(tiles, None) == spread(tiles, 10) == spread(tiles, 99) == tiles
    assert spread(tiles, 1) == [0]
    assert spread(tiles, 4) == [0, 2, 5, 7]


def test_a_level_is_a_whole_number_where_only_those_make_sense():
    line = ["--engine", "a", "--data", "b"]
    assert parser().parse_args([*line, "--blur", "1.5"]).blur == [1.5]
    for option in ("--misregistration", "--jpeg"):
        with pytest.raises(SystemExit):
            parser().parse_args([*line, option, "1.5"])

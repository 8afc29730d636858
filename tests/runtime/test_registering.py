"""Maps of pairs whose images lie beside each other, with and without --register."""

import json
import re

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from runtime import mapping, registering
from runtime.errors import ConfigError
from runtime.mapping import map_pair
from runtime.output.png import write_png
from runtime.source.picture import read_image
from tests.runtime.map_options import map_options
from tests.runtime.source.planted import destroyed, even, moved, texture

HEIGHT, WIDTH = 400, 520
DOWN, ACROSS = 9, -14
INSIDE = (slice(20, -20), slice(20, -20))


@pytest.fixture(scope="module")
def images():
    """Before, after as it should lie, and beside that."""
    before = texture(0, HEIGHT, WIDTH)
    nowhere = even(HEIGHT, WIDTH, 0, 0)
    after = destroyed(moved(before, *nowhere), 0.3)
    beside = np.roll(after, (DOWN, ACROSS), (0, 1))
    return before, after, beside


@pytest.fixture
def pair(images, tmp_path):
    before, _, beside = images
    paths = tmp_path / "pre.png", tmp_path / "post.png"
    for path, image in zip(paths, (before, beside), strict=True):
        write_png(path, image)
    return paths


def agreement(damage, images, reference) -> float:
    before, after, _ = images
    return float((damage == reference(before, after)[0])[INSIDE].mean())


def damage_of(out):
    path = out / "damage.tif"
    if not path.exists():
        import cv2

        return cv2.imread(str(out / "damage.png"), cv2.IMREAD_UNCHANGED)
    with rasterio.open(path) as file:
        return file.read(1)


def test_a_pair_that_lies_apart_is_told_and_mapped_as_it_lies(
    pair, engine, images, reference, tmp_path, capsys
):
    summary = map_pair(engine, *pair, tmp_path / "out", map_options())
    record = summary["registration"]
    assert not record["applied"]
    assert record["median_px"] == pytest.approx(np.hypot(DOWN, ACROSS), abs=0.3)
    (note,) = [each for each in summary["notes"] if "off each other" in each]
    assert re.search(r"lie 16\.[567] pixels off each other .*; map them with --register", note)
    assert note in capsys.readouterr().err
    before, _, beside = images
    np.testing.assert_array_equal(damage_of(tmp_path / "out"), reference(before, beside)[0])


def test_registered_it_is_the_map_of_images_that_lie_on_each_other(
    pair, engine, images, reference, tmp_path
):
    out = tmp_path / "out"
    summary = map_pair(engine, *pair, out, map_options(register=True))
    record = summary["registration"]
    assert record["applied"]
    assert (record["rows"], record["columns"]) == pytest.approx((DOWN, ACROSS), abs=0.2)
    assert record["correlation_after"] > record["correlation_before"] + 0.2
    assert record["median_m"] is None
    assert any("--register moved" in each for each in summary["notes"])
    damage = damage_of(out)
    assert agreement(damage, images, reference) > 0.97
    assert (damage[-DOWN + 1 :] == 255).all()  # the image after shows none of it
    assert (damage[INSIDE] != 255).all()


@pytest.mark.parametrize("align", [False, True])
def test_rasters_too_and_on_another_grid(align, images, engine, reference, write_raster, tmp_path):
    before, _, beside = images
    place = from_origin(500_000, 3_300_000, 0.5, 0.5)
    pre = write_raster(tmp_path / "pre.tif", before)
    if align:  # the same ground a few pixels away in the file
        beside, place = beside[4:, 6:], from_origin(500_003, 3_299_998, 0.5, 0.5)
    post = write_raster(tmp_path / "post.tif", beside, transform=place)
    out = tmp_path / "out"
    summary = map_pair(engine, pre, post, out, map_options(register=True, align=align))
    assert summary["registration"]["median_m"] == pytest.approx(
        np.hypot(DOWN, ACROSS) / 2, rel=0.02
    )
    assert agreement(damage_of(out), images, reference) > 0.97


def test_images_that_lie_on_each_other_are_left_alone(engine, images, reference, tmp_path):
    before, after, _ = images
    for name, image in (("pre", before), ("post", after)):
        write_png(tmp_path / f"{name}.png", image)
    pair = tmp_path / "pre.png", tmp_path / "post.png"
    plain = map_pair(engine, *pair, tmp_path / "plain", map_options())
    assert not plain["notes"]
    summary = map_pair(engine, *pair, tmp_path / "out", map_options(register=True))
    assert not summary["registration"]["applied"]
    for name in ("damage.png", "building.png", "overlay.png"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


def test_a_map_that_goes_on_keeps_its_field(pair, engine, tmp_path, monkeypatch):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    map_pair(engine, *pair, whole, map_options(register=True))

    def ended(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(mapping, "write_maps", ended)
        with pytest.raises(KeyboardInterrupt):
            map_pair(engine, *pair, cut, map_options(register=True))
    with pytest.raises(ConfigError, match="another --register"):
        map_pair(engine, *pair, cut, map_options(resume=True))
    monkeypatch.setattr(registering, "measure", ended)
    summary = map_pair(engine, *pair, cut, map_options(register=True, resume=True))
    assert (
        summary["registration"] == json.loads((whole / "summary.json").read_text())["registration"]
    )
    for name in ("damage.png", "building.png", "confidence.png", "overlay.png"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize(
    "alter",
    [
        lambda kept: {**kept, "nodes": None},
        lambda kept: {**kept, "nodes": kept["nodes"][:2]},
        lambda kept: {**kept, "nodes": [[[1e9, 0.0]] * 2] * 2},
        lambda kept: {**kept, "nodes": "far"},
        lambda kept: {**kept, "record": "x"},
        lambda kept: {**kept, "notes": 5},
        lambda kept: {},
        lambda kept: [],
        lambda kept: None,
    ],
)
def test_a_field_that_was_altered_is_not_gone_on_with(alter, pair, engine, tmp_path, monkeypatch):
    def ended(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(mapping, "write_maps", ended)
        with pytest.raises(KeyboardInterrupt):
            map_pair(engine, *pair, tmp_path / "out", map_options(register=True))
    kept = tmp_path / "out" / ".unfinished" / registering.KEPT
    kept.write_text(json.dumps(alter(json.loads(kept.read_text()))))
    with pytest.raises(
        ConfigError, match=r"registration\.json: is not as it was written; --restart"
    ):
        map_pair(engine, *pair, tmp_path / "out", map_options(register=True, resume=True))


def test_a_part_that_lies_elsewhere_is_told(engine, images, tmp_path):
    """Old: half of the blocks decided, and a mosaic of which a third is off said nothing."""
    before, after, beside = images
    third = after.shape[1] // 3
    mixed = after.copy()
    mixed[:, :third] = beside[:, :third]
    write_png(tmp_path / "pre.png", before)
    write_png(tmp_path / "post.png", mixed)
    pair = tmp_path / "pre.png", tmp_path / "post.png"
    summary = map_pair(engine, *pair, tmp_path / "out", map_options())
    assert summary["registration"]["median_px"] < 2
    assert any("parts of the images lie" in each for each in summary["notes"])


def test_where_nothing_can_be_matched_it_says_so(engine, images, tmp_path):
    write_png(tmp_path / "pre.png", images[0])
    write_png(tmp_path / "post.png", texture(77, HEIGHT, WIDTH))
    pair = tmp_path / "pre.png", tmp_path / "post.png"
    assert map_pair(engine, *pair, tmp_path / "plain", map_options())["notes"] == []
    summary = map_pair(engine, *pair, tmp_path / "out", map_options(register=True))
    (note,) = summary["notes"]
    assert re.search(r"--register: none of \d+ blocks could be matched in both images", note)
    assert summary["registration"]["median_px"] is None
    np.testing.assert_array_equal(
        read_image(tmp_path / "out" / "overlay.png"), read_image(tmp_path / "plain" / "overlay.png")
    )

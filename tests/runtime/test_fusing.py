"""Several images after the event: the map of all, and where each grade comes from."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import rasterio
from pyogrio.raw import read as read_layer
from rasterio.features import geometry_mask
from shapely import from_wkb

from runtime.corrections import Corrections
from runtime.damage import CLASS_NAMES, NODATA
from runtime.errors import ConfigError, ImageError
from runtime.finished import open_map
from runtime.finished.images import images_of
from runtime.fusing import map_dates
from runtime.mapping import map_pair
from runtime.scene.unfinished import Unfinished
from tests.runtime.map_options import map_options

SHAPE = (160, 240)
BAND = np.s_[:, 80:176]
"""Ground that a lost part of an image hides: without texture, see `source.quality`."""


def read(path):
    with rasterio.open(path) as file:
        return file.read(1)


@pytest.fixture
def event(draw, write_raster, tmp_path):
    """pre.tif and three images after, and their pixels."""
    first, _ = draw(*SHAPE)
    images = [draw(*SHAPE, seed=seed)[1] for seed in (1, 2, 3)]
    pre = write_raster(tmp_path / "pre.tif", first)
    posts = [
        write_raster(tmp_path / f"{name}.tif", image)
        for name, image in zip("abc", images, strict=False)
    ]
    return pre, posts, first, images


def vote(maps, used):
    """The rule, pixel by pixel: (damage, confidence) of [N,H,W] maps where `used` is true."""
    damage, confidence = (np.stack(each).astype(int) for each in zip(*maps, strict=True))
    found, sure = np.full(SHAPE, NODATA), np.zeros(SHAPE, int)
    for y, x in np.ndindex(*SHAPE):
        some = np.flatnonzero(used[:, y, x])
        if not len(some):
            continue
        sums = {}
        for n in some:
            sums[damage[n, y, x]] = sums.get(damage[n, y, x], 0) + confidence[n, y, x]
        winner = max(sums, key=lambda each: (sums[each], each))
        found[y, x] = winner
        sure[y, x] = max(1, int(sums[winner] / len(some) + 0.5))
    return found, sure


def test_each_pixel_has_the_class_that_the_images_agree_on(event, engine, tmp_path, reference):
    pre, posts, first, images = event
    content = map_dates(engine, pre, posts, tmp_path / "out", map_options())
    maps = [(lambda found: (found[0], found[2]))(reference(first, image)) for image in images]
    damage, confidence = vote(maps, np.ones((3, *SHAPE), bool))
    np.testing.assert_array_equal(read(tmp_path / "out" / "damage.tif"), damage)
    np.testing.assert_array_equal(read(tmp_path / "out" / "confidence.tif"), confidence)
    assert (read(tmp_path / "out" / "sources.tif") == 0b111).all()
    assert content == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert content["pixels"]["background"] == (damage == 0).sum()
    assert [each["used_px"] for each in content["images_after"]] == [damage.size] * 3
    assert not (tmp_path / "out" / ".unfinished").exists()


def test_what_one_image_hides_another_shows(event, engine, tmp_path, write_raster, reference):
    pre, posts, first, images = event
    hidden = images[0].copy()
    hidden[BAND] = 250
    write_raster(posts[0], hidden)
    content = map_dates(engine, pre, posts[:2], tmp_path / "out", map_options())
    layer = read(tmp_path / "out" / "after-1" / "quality.tif")
    covered = (layer > 0) & (layer <= 4)
    assert covered[:, 96:160].all()
    sources = read(tmp_path / "out" / "sources.tif")
    np.testing.assert_array_equal(sources, np.where(covered, 2, 3))
    damage, confidence, _ = (
        read(tmp_path / "out" / f"{n}.tif") for n in ("damage", "confidence", "quality")
    )
    alone = reference(first, images[1])
    np.testing.assert_array_equal(damage[covered], alone[0][covered])
    np.testing.assert_array_equal(confidence[covered], alone[2][covered])
    assert not (read(tmp_path / "out" / "quality.tif")[covered]).any()
    assert content["images_after"][0]["used_px"] == (~covered).sum()
    picture = cv2.imread(str(tmp_path / "out" / "overlay.png"))[: SHAPE[0]]
    flat = np.abs(picture[:, 112:144].astype(int) - 250).max(axis=2) < 3
    assert flat.mean() < 0.01, "the overlay shows the image that shows the ground"


def test_a_building_says_what_each_image_shows_of_it(event, engine, tmp_path, write_raster):
    pre, posts, _, images = event
    hidden = images[1].copy()
    hidden[BAND] = 250
    write_raster(posts[1], hidden)
    out = tmp_path / "out"
    map_dates(engine, pre, posts, out, map_options(raw_outlines=True))
    meta, _, geometry, fields = read_layer(out / "buildings.gpkg", layer="buildings")
    columns = dict(zip(meta["fields"], fields, strict=True))
    maps = {
        n: [read(out / f"after-{n}" / f"{k}.tif") for k in ("damage", "confidence", "quality")]
        for n in (1, 2, 3)
    }
    sources = read(out / "sources.tif")
    with rasterio.open(out / "damage.tif") as file:
        place = file.transform
    seen = set()
    for index, shape in enumerate(from_wkb(geometry)):
        inside = geometry_mask([shape], SHAPE, place, invert=True)
        share = {n: (sources[inside] >> n - 1 & 1).mean() for n in maps}
        wanted = [n for n in maps if share[n] and share[n] >= min(0.5, max(share.values()))]
        assert columns["sources"][index] == " ".join(map(str, wanted))
        seen.add(columns["sources"][index])
        for n, (damage, confidence, _) in maps.items():
            here = inside & (sources >> n - 1 & 1 > 0)
            votes = [confidence[here & (damage == c)].sum(dtype=int) for c in range(1, 5)]
            there = [(v, c) for c, v in enumerate(votes, 1) if (here & (damage == c)).any()]
            if there:
                best = max(there)[1]
                assert columns[f"damage_{n}"][index] == CLASS_NAMES[best]
                mean = confidence[here & (damage == best)].mean() / 255
                assert columns[f"confidence_{n}"][index] == pytest.approx(mean, abs=1e-3)
            else:
                assert columns[f"damage_{n}"][index] == (
                    "unknown" if here.any() else "not computed"
                )
                assert np.isnan(columns[f"confidence_{n}"][index])
    assert seen == {"1 2 3", "1 3"}
    features = json.loads((out / "buildings.geojson").read_text())["features"]
    assert {each["properties"]["sources"] for each in features} == seen


def test_one_image_that_shows_all_is_that_image_s_own_map(event, engine, tmp_path, write_raster):
    pre, posts, _, images = event
    write_raster(posts[1], np.full_like(images[1], 250))
    map_pair(engine, pre, posts[0], tmp_path / "alone", map_options())
    map_dates(engine, pre, posts[:2], tmp_path / "out", map_options())
    # The test engine's confidence may be 0, which a map keeps for what was not computed.
    for name, least in (("damage.tif", 0), ("confidence.tif", 1)):
        alone = np.maximum(read(tmp_path / "alone" / name), least)
        np.testing.assert_array_equal(read(tmp_path / "out" / name), alone)


def test_pictures_have_sources_too(event, engine, tmp_path):
    _, _, first, images = event
    paths = [tmp_path / f"{name}.png" for name in ("pre", "x", "y")]
    for path, image in zip(paths, [first, *images[:2]], strict=True):
        cv2.imwrite(str(path), image[..., ::-1])
    content = map_dates(engine, paths[0], paths[1:], tmp_path / "out", map_options())
    assert (cv2.imread(str(tmp_path / "out" / "sources.png"), cv2.IMREAD_UNCHANGED) == 3).all()
    features = json.loads((tmp_path / "out" / "buildings.geojson").read_text())["features"]
    assert features
    assert {each["properties"]["sources"] for each in features} == {"1 2"}
    assert {"building.png", "sources.png", "overlay.png"} <= set(content["files"])


def test_known_footprints_have_their_sources(event, engine, tmp_path, write_raster):
    pre, posts, _, images = event
    hidden = images[0].copy()
    hidden[BAND] = 250
    write_raster(posts[0], hidden)
    with rasterio.open(pre) as file:
        place, crs = file.transform, "urn:ogc:def:crs:EPSG::32614"
    squares = {"open": (20, 20), "hidden": (110, 40)}
    features = []
    for name, (x, y) in squares.items():
        ring = [
            place * corner
            for corner in ((x, y), (x + 20, y), (x + 20, y + 20), (x, y + 20), (x, y))
        ]
        features.append(
            {
                "type": "Feature",
                "properties": {"sources": name},
                "geometry": {"type": "Polygon", "coordinates": [ring]},
            }
        )
    path = tmp_path / "footprints.geojson"
    path.write_text(
        json.dumps(
            {
                "type": "FeatureCollection",
                "crs": {"type": "name", "properties": {"name": crs}},
                "features": features,
            }
        )
    )
    map_dates(engine, pre, posts[:2], tmp_path / "out", map_options(footprints=path))
    meta, _, _, fields = read_layer(tmp_path / "out" / "buildings.gpkg", layer="buildings")
    columns = dict(zip(meta["fields"], fields, strict=True))
    assert dict(zip(columns["source_sources"], columns["sources"], strict=True)) == {
        "open": "1 2",
        "hidden": "2",
    }
    assert columns["damage_1"].tolist()[1] == "not computed"


def test_what_is_there_is_taken_over(event, engine, tmp_path, monkeypatch):
    pre, posts, *_ = event
    out = tmp_path / "out"
    whole = map_dates(engine, pre, posts, tmp_path / "whole", map_options())
    map_pair(engine, pre, posts[0], out / "after-1", map_options())
    add, count = Unfinished.add, 0

    def ends(self, *arguments):
        nonlocal count
        if "after-2" in str(self.folder) and self.rows == 2:
            raise KeyboardInterrupt
        count += "after-1" in str(self.folder)
        return add(self, *arguments)

    monkeypatch.setattr(Unfinished, "add", ends)
    with pytest.raises(KeyboardInterrupt):
        map_dates(engine, pre, posts, out, map_options())
    monkeypatch.undo()
    assert not count, "the first image's map was there"
    assert not (out / "summary.json").exists()
    content = map_dates(engine, pre, posts, out, map_options())
    assert content["pixels"] == whole["pixels"]
    for name in ("damage.tif", "sources.tif", "buildings.gpkg"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    before = (out / "summary.json").stat().st_mtime_ns
    assert map_dates(engine, pre, posts, out, map_options(resume=True)) == content
    assert (out / "summary.json").stat().st_mtime_ns == before


def test_an_image_less_leaves_no_map_of_it(event, engine, tmp_path):
    pre, posts, *_ = event
    out = tmp_path / "out"
    map_dates(engine, pre, posts, out, map_options())
    (out / "after-9").mkdir()
    (out / "after-9" / "note.txt").write_text("mine")
    map_dates(engine, pre, posts[:2], out, map_options())
    assert sorted(path.name for path in out.glob("after-*")) == ["after-1", "after-2", "after-9"]


def test_a_corrected_map_of_an_image_less_stays(event, engine, tmp_path, capsys):
    pre, posts, *_ = event
    out = tmp_path / "out"
    map_dates(engine, pre, posts, out, map_options())
    with Corrections(out / "after-3") as corrections:
        corrections.set(1, "destroyed", "somebody")
    map_dates(engine, pre, posts[:2], out, map_options())
    assert "after-3: is in no map any more; it stays" in capsys.readouterr().err
    with Corrections(out / "after-3") as corrections:
        assert len(corrections.all()) == 1


def test_a_copy_is_no_second_image(event, engine, tmp_path):
    pre, posts, *_ = event
    copy = tmp_path / "copy.tif"
    copy.write_bytes(posts[0].read_bytes())
    with pytest.raises(ConfigError, match="are one image, which would count twice"):
        map_dates(engine, pre, [posts[0], copy], tmp_path / "out", map_options())


def test_a_part_of_another_image_is_made_again(event, engine, tmp_path):
    pre, posts, *_ = event
    out = tmp_path / "out"
    whole = map_dates(engine, pre, posts[:2], out, map_options())
    map_pair(engine, pre, posts[2], out / "after-2", map_options())
    again = map_dates(engine, pre, posts[:2], out, map_options(resume=True))
    assert again["pixels"] == whole["pixels"]
    own = json.loads((out / "after-2" / "summary.json").read_text())
    assert own["post"] == str(posts[1])


def test_a_plain_map_in_its_place_leaves_nothing_of_it(
    event, engine, engine_folder, tmp_path, command
):
    pre, posts, *_ = event
    out = tmp_path / "out"
    map_dates(engine, pre, posts[:2], out, map_options())
    result = command("runtime.predict", "--engine", engine_folder, pre, posts[2], "--out", out)
    assert result.returncode == 0, result.stderr
    assert not list(out.glob("after-*"))
    assert not (out / "sources.tif").exists()


def test_an_image_that_cannot_be_mapped_is_told_and_the_others_are(event, engine, tmp_path):
    pre, posts, _first, _images = event
    posts[0].write_bytes(posts[0].read_bytes()[:3000])
    content = map_dates(engine, pre, posts, tmp_path / "out", map_options())
    one, *others = content["images_after"]
    assert one["error"]
    assert str(posts[0]) in one["error"]
    assert [each["used_px"] for each in others] == [SHAPE[0] * SHAPE[1]] * 2
    assert any(str(posts[0]) in note for note in content["notes"])
    meta, *_ = read_layer(tmp_path / "out" / "buildings.gpkg", layer="buildings")
    assert {"damage_2", "damage_3"} <= set(meta["fields"])
    assert "damage_1" not in meta["fields"]
    assert (read(tmp_path / "out" / "sources.tif") == 0b110).all()
    told = [image.path for image in images_of(open_map(tmp_path / "out"))]
    assert told == [pre, *posts[1:]], "a hand-over tells of images that are in the map"


def test_the_command_ends_with_an_error_where_an_image_is_missing(
    event, engine_folder, tmp_path, command
):
    pre, posts, *_ = event
    posts[1].write_bytes(posts[1].read_bytes()[:3000])
    result = command(
        "runtime.predict",
        "--engine",
        engine_folder,
        pre,
        "--post",
        *posts,
        "--out",
        tmp_path / "out",
    )
    assert result.returncode == 1
    (line,) = [each for each in result.stderr.splitlines() if each.startswith("error: ")]
    assert "1 of 3 images after the event are not in the map" in line
    assert (tmp_path / "out" / "damage.tif").exists()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda pre, posts: [posts[0], posts[0]], "are one image, which would count twice"),
        (lambda pre, posts: [posts[0], posts[0].with_name("gone.tif")], "does not exist"),
        (lambda pre, posts: posts * 3, "9 images; expected at most 7"),
    ],
)
def test_wrong_images_are_one_line_before_the_work(event, engine, tmp_path, change, match):
    pre, posts, *_ = event
    with pytest.raises((ConfigError, ImageError), match=match):
        map_dates(engine, pre, change(pre, posts), tmp_path / "out", map_options())
    assert not (tmp_path / "out").exists()


def test_no_image_that_can_be_mapped_is_an_error(event, engine, tmp_path, write_raster):
    pre, posts, _, images = event
    for level, path in enumerate(posts[:2], 250):
        write_raster(path, np.full_like(images[0], level))
    with pytest.raises(ImageError, match="none of 2 images can be mapped; the first: "):
        map_dates(engine, pre, posts[:2], tmp_path / "out", map_options(mask_quality=True))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["PRE"], "the image after the event is missing"),
        (["PRE", "POST", "--post", "POST"], "expected one image after PRE, or all of them"),
    ],
)
def test_the_images_after_are_given_one_way(event, engine_folder, error_line, arguments, match):
    pre, posts, *_ = event
    given = [{"PRE": pre, "POST": posts[0]}.get(each, each) for each in arguments]
    assert match in error_line("runtime.predict", "--engine", engine_folder, *given)


def test_a_map_of_several_images_is_handed_over_like_any(event, engine, tmp_path, command):
    pre, posts, *_ = event
    map_dates(engine, pre, posts, tmp_path / "out", map_options())
    result = command(
        "runtime.deliver", tmp_path / "out", "--as", "stac", "ems", "--out", tmp_path / "handed",
        "--datetime", "2026-11-30",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    item = json.loads((tmp_path / "handed" / "item.json").read_text())["properties"]
    told = [(each["role"], each["name"]) for each in item["dual_hrnet:inputs"]]
    assert told == [("before", "pre.tif"), *(("after", f"{name}.tif") for name in "abc")]
    assert "images pre.tif and a.tif, b.tif, c.tif" in item["processing:lineage"]
    meta, _, _, fields = read_layer(tmp_path / "handed" / "ems.gpkg", layer="source")
    columns = dict(zip(meta["fields"], fields, strict=True))
    assert columns["source_nam"].tolist() == ["pre.tif", "a.tif, b.tif, c.tif"]
    sheet = command("runtime.sheet", tmp_path / "out", "--out", tmp_path / "sheet")
    assert sheet.returncode == 0, sheet.stderr
    assert "c.tif" in (tmp_path / "sheet" / "sheet.html").read_text()

"""What changed between two finished maps."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import rasterio
from pyogrio.raw import read as read_layer

from runtime.changing import map_change
from runtime.corrections import Corrections
from runtime.damage import NODATA
from runtime.errors import ConfigError
from runtime.mapping import map_pair
from tests.runtime.map_options import map_options

SHAPE = (96, 240)

PLANTED = {
    # column: grey levels after the event in the earlier and in the later map
    8: (30, 30),
    48: (30, 220),
    88: (220, 100),
    128: (150, 150),
}
"""Houses of 16x16; by the test engine's rule the levels are no-damage, minor, major, destroyed."""
CLASS_OF = {30: "no-damage", 100: "minor-damage", 150: "major-damage", 220: "destroyed"}


def read(path):
    with rasterio.open(path) as file:
        return file.read(1)


def textured(level):
    rng = np.random.default_rng(level)
    return (np.full((*SHAPE, 3), level) + rng.integers(-4, 5, (*SHAPE, 3))).astype(np.uint8)


@pytest.fixture
def images():
    """pre and the two images after; a house more before (column 168) that `edit` may take out."""
    pre, one, other = textured(60), textured(100), textured(100)
    for column, levels in PLANTED.items():
        house = np.s_[40:56, column : column + 16]
        pre[house] = 220
        one[house], other[house] = levels
    return pre, one, other


@pytest.fixture
def two_maps(images, write_raster, engine, tmp_path):
    def make(pre=None, **later):
        first = images[0] if pre is None else pre
        for name, image in zip(("pre", "one", "other"), (first, *images[1:]), strict=True):
            write_raster(tmp_path / f"{name}.tif", image)
        for name in ("one", "other"):
            map_pair(
                engine,
                tmp_path / "pre.tif",
                tmp_path / f"{name}.tif",
                tmp_path / f"map-{name}",
                map_options(),
            )
        return tmp_path / "map-one", tmp_path / "map-other"

    return make


def layer_of(out):
    meta, _, _geometry, fields = read_layer(out / "changes.gpkg", layer="changes")
    columns = dict(zip(meta["fields"], fields, strict=True))
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def test_each_building_has_both_grades(two_maps, tmp_path):
    content = map_change(*two_maps(), tmp_path / "out", map_options())
    wanted = sorted((CLASS_OF[a], CLASS_OF[b]) for a, b in PLANTED.values())
    found = layer_of(tmp_path / "out")
    assert sorted((each["damage_earlier"], each["damage_later"]) for each in found) == wanted
    assert sorted(each["change"] for each in found) == [
        "less damage",
        "more damage",
        "same",
        "same",
    ]
    assert content["buildings"]["no-damage"]["destroyed"] == 1
    assert content["changes"] == {
        "same": 2, "more damage": 1, "less damage": 1, "only later": 0, "only earlier": 0,
        "not computed": 0,
    }  # fmt: skip
    assert content == json.loads((tmp_path / "out" / "change.json").read_text())


def test_the_layer_is_the_difference_of_the_maps(two_maps, tmp_path):
    one, other = two_maps()
    content = map_change(one, other, tmp_path / "out", map_options())
    first, second = (read(folder / "damage.tif").astype(int) for folder in (one, other))
    both = (first > 0) & (second > 0)
    wanted = np.select(
        [
            both & (first == second), both & (first < second), both & (first > second),
            second > 0, first > 0,
        ],
        [1, 2, 3, 4, 5], 0,
    )  # fmt: skip
    layer = read(tmp_path / "out" / "change.tif")
    np.testing.assert_array_equal(layer, wanted)
    assert content["pixels"]["more damage"] == (wanted == 2).sum() > 0
    with rasterio.open(tmp_path / "out" / "change.tif") as file:
        assert file.nodata == NODATA
        assert file.crs.to_epsg() == 32614


def test_a_house_that_one_map_alone_has(images, two_maps, engine, write_raster, tmp_path):
    one, other = two_maps()
    pre = images[0].copy()
    pre[40:56, 128:144] = 60
    pre[40:56, 200:216] = 220
    write_raster(tmp_path / "pre-2.tif", pre)
    map_pair(engine, tmp_path / "pre-2.tif", tmp_path / "other.tif", other, map_options())
    content = map_change(one, other, tmp_path / "out", map_options())
    assert content["changes"]["only later"] == 1
    assert content["changes"]["only earlier"] == 1
    assert content["buildings"]["major-damage"]["no building"] == 1
    assert content["buildings"]["no building"]["minor-damage"] == 1
    assert any("two images before the event" in note for note in content["notes"])


def test_what_one_map_does_not_know_is_not_compared(
    images, two_maps, write_raster, engine, tmp_path
):
    images[2][:, 88:] = 250  # without texture: a lost part of the later image
    one, other = two_maps()
    content = map_change(one, other, tmp_path / "out", map_options())
    layer = read(tmp_path / "out" / "change.tif")
    hidden = np.isin(read(other / "quality.tif"), (1, 2, 3, 4))
    assert hidden[:, 112:].all()
    assert (layer[hidden] == NODATA).all()
    assert content["pixels"]["not compared"] == (layer == NODATA).sum()
    assert content["buildings"]["major-damage"]["not computed"] == 1
    assert content["changes"]["not computed"] >= 1


def test_the_same_map_twice_has_no_change(two_maps, tmp_path):
    one, _ = two_maps()
    content = map_change(one, one, tmp_path / "out", map_options())
    assert content["changes"]["same"] == len(PLANTED)
    assert sum(content["changes"].values()) == len(PLANTED)
    assert any("are one map" in note for note in content["notes"])


def test_footprints_are_compared(two_maps, tmp_path):
    one, other = two_maps()
    with rasterio.open(one / "damage.tif") as file:
        place = file.transform
    rings = []
    for left in (48, 200):
        corners = [(left, 40), (left + 16, 40), (left + 16, 56), (left, 56), (left, 40)]
        rings.append([place * each for each in corners])
    path = tmp_path / "footprints.geojson"
    path.write_text(json.dumps({
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32614"}},
        "features": [
            {
                "type": "Feature", "properties": {},
                "geometry": {"type": "Polygon", "coordinates": [ring]},
            }
            for ring in rings
        ],
    }))  # fmt: skip
    map_change(one, other, tmp_path / "out", map_options(footprints=path))
    first, second = layer_of(tmp_path / "out")
    assert (first["damage_earlier"], first["damage_later"]) == ("no-damage", "destroyed")
    assert (second["damage_earlier"], second["change"]) == ("no building", "no building")


def test_pictures_are_compared(images, engine, tmp_path):
    for name, image in zip(("pre", "one", "other"), images, strict=True):
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
    for name in ("one", "other"):
        map_pair(
            engine,
            tmp_path / "pre.png",
            tmp_path / f"{name}.png",
            tmp_path / f"map-{name}",
            map_options(),
        )
    content = map_change(
        tmp_path / "map-one", tmp_path / "map-other", tmp_path / "out", map_options()
    )
    assert content["changes"]["more damage"] == 1
    assert set(content["files"]) == {"change.png", "changes.geojson"}
    features = json.loads((tmp_path / "out" / "changes.geojson").read_text())["features"]
    assert len(features) == len(PLANTED)


def test_predict_of_two_maps_is_this(two_maps, tmp_path, command):
    one, other = two_maps()
    result = command("runtime.predict", one, other, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "more damage 1" in result.stdout
    again = command("runtime.change", one, other, "--out", tmp_path / "out", "--json")
    assert json.loads(again.stdout)["changes"]["same"] == 2


def _altered(folder):
    path = folder / "damage.tif"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def _no_map(folder):
    (folder / "summary.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (_altered, "are not as they were written; map it again"),
        (_no_map, "so there is no finished map in it"),
    ],
)
def test_what_is_no_finished_map_is_one_line(two_maps, tmp_path, spoil, match):
    one, other = two_maps()
    spoil(other)
    with pytest.raises(ConfigError, match=match):
        map_change(one, other, tmp_path / "out", map_options())
    assert not (tmp_path / "out").exists()


def test_maps_on_two_grids_are_one_line(images, two_maps, engine, write_raster, tmp_path):
    one, _ = two_maps()
    for name, image in zip(("pre", "other"), images[::2], strict=True):
        write_raster(tmp_path / f"{name}-small.tif", image[:64])
    small = tmp_path / "map-small"
    map_pair(engine, tmp_path / "pre-small.tif", tmp_path / "other-small.tif", small, map_options())
    with pytest.raises(ConfigError, match="is on another grid than .*: 64x240 pixels"):
        map_change(one, small, tmp_path / "out", map_options())


def test_a_map_is_not_written_over(two_maps, tmp_path):
    one, other = two_maps()
    with pytest.raises(ConfigError, match="holds a map; expected another folder"):
        map_change(one, other, other, map_options())


def test_corrections_are_not_in_it_and_that_is_told(two_maps, tmp_path):
    one, other = two_maps()
    with Corrections(other) as corrections:
        corrections.set(1, "not-a-building", "somebody")
    content = map_change(one, other, tmp_path / "out", map_options())
    assert any("corrected by hand" in note and str(other) in note for note in content["notes"])


@pytest.mark.parametrize("option", [("--aoi", "x.gpkg"), ("--mask-quality",), ("--resume",)])
def test_options_of_mapping_are_refused_for_two_maps(two_maps, tmp_path, error_line, option):
    one, other = two_maps()
    line = error_line("runtime.predict", one, other, "--out", tmp_path / "out", *option)
    assert f"{option[0]}: two finished maps are compared as they are" in line


def test_an_output_that_is_a_file_is_one_line(two_maps, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file; expected a folder"):
        map_change(*two_maps(), tmp_path / "file", map_options())

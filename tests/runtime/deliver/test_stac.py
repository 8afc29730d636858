"""STAC Items: valid by pystac and stac-model, and true to the files."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
import shapely
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.file import FileExtension
from pystac.extensions.mlm import MLMExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.validation import JsonSchemaSTACValidator
from rasterio.transform import from_origin
from rio_cogeo.cogeo import cog_validate
from stac_model.schema import MLModelProperties

from runtime import files
from runtime.deliver import deliver
from runtime.deliver.footprint import footprint_of
from runtime.deliver.names import by_name
from runtime.errors import ConfigError
from runtime.finished import open_map
from runtime.manifest import Manifest


@pytest.fixture
def items(town, corrected, tmp_path):
    out = tmp_path / "out"
    deliver(town.folder, ["stac", "ems", "grid"], out, taken=(None, "2026-11-29T08:14:00Z"))
    return out, *(json.loads((out / f"{name}.json").read_text()) for name in ("item", "model"))


def valid(content):
    """By the core schemas that pystac brings; those of extensions are on the web."""
    JsonSchemaSTACValidator().validate_core(content, pystac.STACObjectType.ITEM, "1.1.0")
    return pystac.Item.from_dict(content)


def test_the_item_is_valid_and_tells_of_each_file(items):
    out, content, _ = items
    item = valid(content)
    assert item.datetime.isoformat() == "2026-11-29T08:14:00+00:00"
    assert {path.name for path in out.iterdir()} - {"item.json", "model.json"} == {
        asset.href.removeprefix("./") for asset in item.assets.values()
    } | {"damage.tif.aux.xml", "quality.tif.aux.xml"}
    for asset in item.assets.values():
        body = (out / asset.href).read_bytes()
        told = FileExtension.ext(asset)
        assert told.size == len(body)
        assert bytes.fromhex(told.checksum) == bytes([0x12, 0x20]) + hashlib.sha256(body).digest()
        assert asset.roles
        assert asset.media_type
    classes = ClassificationExtension.ext(item.assets["damage"]).classes
    assert {each.value: each.description for each in classes} == {
        0: "background", 1: "no-damage", 2: "minor-damage", 3: "major-damage", 4: "destroyed",
        255: "not computed",
    }  # fmt: skip


def test_the_item_lies_where_the_map_does(items, town):
    out, content, _ = items
    item = valid(content)
    with rasterio.open(out / "damage.tif") as file:
        told = ProjectionExtension.ext(item)
        assert told.code == f"EPSG:{file.crs.to_epsg()}"
        assert told.shape == list(file.shape)
        assert told.transform[:6] == list(file.transform)[:6]
        known = file.read(1) != 255
    shape = shapely.geometry.shape(item.geometry)
    assert shape.is_valid
    assert item.bbox == pytest.approx(shape.bounds, abs=1e-7)
    from pyproj import Geod

    area, _ = Geod(ellps="WGS84").geometry_area_perimeter(shape)
    assert area == pytest.approx(known.sum() * 0.25, rel=2e-3)
    lineage = item.properties["processing:lineage"]
    assert town.summary["engine"]["checkpoint_sha256"] in lineage
    before, after = item.properties["dual_hrnet:inputs"]
    assert before["name"] == "pre.tif"
    assert "taken" not in before
    assert (
        after["sha256"]
        == hashlib.sha256(
            open(town.summary["post"], "rb").read()  # noqa: PTH123, SIM115
        ).hexdigest()
    )
    assert str(town.folder.parent) not in json.dumps(content)


def test_rasters_are_copied_as_they_are_with_tags_in_place(items, town):
    out, _, _ = items
    for name in ("damage", "confidence", "quality"):
        good, errors, warnings = cog_validate(out / f"{name}.tif")
        assert good, (errors, warnings)
        with (
            rasterio.open(out / f"{name}.tif") as copy,
            rasterio.open(town.folder / f"{name}.tif") as own,
        ):
            np.testing.assert_array_equal(copy.read(1), own.read(1))
            assert copy.nodata == own.nodata
            assert copy.scales == own.scales
            assert copy.overviews(1) == own.overviews(1)
            if name != "confidence":
                assert copy.colormap(1) == own.colormap(1)
            assert copy.tags()["CORRECTIONS_APPLIED"].startswith("no")
            assert copy.tags()["ENGINE_GRAPH_SHA256"] == town.summary["engine"]["graph_sha256"]
    aux = [(folder / "damage.tif.aux.xml").read_text() for folder in (out, town.folder)]
    assert aux[0].count("<Category>") == aux[1].count("<Category>") == 5


def test_the_engines_item_is_valid_by_stac_model(items, town):
    _, _, content = items
    item = valid(content)
    manifest = Manifest.read(town.summary["engine"]["folder"])
    told = MLModelProperties(**item.properties)
    assert [each.name for each in told.input] == ["pre", "post"]
    for each in told.input:
        assert each.input.shape == [1, manifest.input.height, manifest.input.width, 3]
        assert each.input.data_type == "uint8"
    damage = told.output[0]
    assert [(each.value, each.name) for each in damage.classes] == list(
        enumerate(manifest.class_names)
    )
    assert told.total_parameters == manifest.model.parameters
    assert told.framework == "ONNX"
    assert told.accelerator == ("amd64" if "x86_64" in manifest.target.platform else "cpu")
    assert told.hyperparameters.precision == manifest.precision
    (asset,) = item.assets.values()
    assert asset.roles == ["mlm:model"]
    assert asset.href == f"urn:sha256:{manifest.payload[0].sha256}"
    assert MLMExtension.ext(item).architecture == "dual-hrnet"


def test_a_date_is_asked_for_and_not_invented(town, tmp_path, command):
    with pytest.raises(ConfigError, match="post.tif: does not say when it was taken"):
        deliver(town.folder, ["ems", "stac"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    done = command("runtime.deliver", town.folder, "--as", "stac", "--out", tmp_path / "out",
                   "--datetime", "2026-11-29")  # fmt: skip
    assert done.returncode == 0, done.stderr
    item = valid(json.loads((tmp_path / "out" / "item.json").read_text()))
    assert item.datetime is None
    assert item.properties["start_datetime"] == "2026-11-29T00:00:00Z"
    assert item.properties["end_datetime"] == "2026-11-29T23:59:59Z"


def test_the_date_of_the_image_is_taken_where_it_has_one(mapped, scene, tmp_path):
    pre, post, *_ = scene(60, 60)
    with rasterio.open(post, "r+") as file:
        file.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2026-11-29 08:14:00")
        file.update_tags(TIFFTAG_DATETIME="2026:11:30 01:00:00")
    _, out = mapped(pre, post)
    deliver(out, ["stac"], tmp_path / "given")
    item = valid(json.loads((tmp_path / "given" / "item.json").read_text()))
    assert item.datetime.isoformat() == "2026-11-29T08:14:00+00:00"


def test_without_its_engine_a_map_is_delivered_without_the_engines_item(town, tmp_path):
    summary = json.loads((town.folder / "summary.json").read_text())
    summary["engine"]["folder"] = str(tmp_path / "gone")
    (town.folder / "summary.json").write_text(json.dumps(summary))
    paths = deliver(town.folder, ["stac"], tmp_path / "out", when="2026-11-29")
    assert "model.json" not in {path.name for path in paths}
    item = valid(json.loads((tmp_path / "out" / "item.json").read_text()))
    assert item.links == []


def test_no_folder_of_the_box_is_handed_over(town, tmp_path):
    """Of inputs, engine and reasons the files' names are told, not where they lay."""
    content = json.loads((town.folder / "summary.json").read_text())
    pre = Path(content["pre"])
    assert pre.is_absolute()
    content["notes"] = [
        f"{pre}: is dark",
        "5 m/px, and/or 1/2, https://a.org/b/c",
        "dark, see /nowhere/else.tif",
    ]
    content["failed_tiles"] = [
        {"row": 0, "column": 0, "height": 8, "width": 8, "reason": f"({pre.parent}/x.tif) {pre}: ?"}
    ]
    (town.folder / "summary.json").write_text(json.dumps(content))
    deliver(town.folder, ["stac", "ems", "grid"], tmp_path / "out", when="2026-11-29")
    for path in (tmp_path / "out").iterdir():
        assert str(pre.parent).encode() not in path.read_bytes(), path
        assert str(Path(content["engine"]["folder"]).parent).encode() not in path.read_bytes(), path
    handed = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert handed["pre"] == pre.name
    assert handed["post"] == Path(content["post"]).name
    assert handed["engine"]["folder"] == Path(content["engine"]["folder"]).name
    assert handed["identity"]["images"][0][0] == [
        pre.name,
        *content["identity"]["images"][0][0][1:],
    ]
    notes = [f"{pre.name}: is dark", content["notes"][1], "dark, see else.tif"]
    assert handed["notes"] == notes
    assert handed["failed_tiles"][0]["reason"] == f"(x.tif) {pre.name}: ?"
    assert handed["classes"] == content["classes"]
    assert handed["files"] == content["files"]
    item = json.loads((tmp_path / "out" / "item.json").read_text())
    assert item["properties"]["dual_hrnet:notes"] == notes
    digest = files.sha256(tmp_path / "out" / "summary.json")
    assert item["assets"]["summary"]["file:checksum"].endswith(digest)


def test_names_are_cut_of_several_images_and_relative_paths():
    summary = {
        "pre": "data/pre.tif", "post": "data/a.tif, more/b.tif",
        "images_after": [{"image": "data/a.tif", "error": None}, {"image": "more/b.tif",
                         "error": "more/b.tif: is too small; see metadata/x"}],
        "aoi": None, "engine": {"folder": "engine"},
    }  # fmt: skip
    found = by_name(summary)
    assert (found["pre"], found["post"]) == ("pre.tif", "a.tif, b.tif")
    assert found["images_after"][1] == {
        "image": "b.tif", "error": "b.tif: is too small; see metadata/x"
    }  # fmt: skip
    assert found["engine"] == {"folder": "engine"}


def test_a_later_delivery_replaces_an_earlier_one(town, tmp_path):
    for _ in range(2):
        deliver(town.folder, ["stac", "ems"], tmp_path / "out", when="2026-11-29")
    assert (tmp_path / "out" / "ems.gpkg").is_file()


def test_two_hand_overs_are_not_mixed(town, tmp_path):
    deliver(town.folder, ["ems"], tmp_path / "out")
    before = files.sha256(tmp_path / "out" / "ems.gpkg")
    with pytest.raises(ConfigError, match=r"holds ems\.gpkg, which is not of this hand-over"):
        deliver(town.folder, ["stac"], tmp_path / "out", when="2026-11-29")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["ems.gpkg"]
    assert files.sha256(tmp_path / "out" / "ems.gpkg") == before


def test_dates_the_wrong_way_round_are_one_line(town, tmp_path):
    with pytest.raises(ConfigError, match="earlier than the one before"):
        deliver(town.folder, ["ems"], tmp_path / "out", taken=("2026-11-30", "2026-11-29"))


def moved(folder, out, crs, transform):
    """The map at another place of the globe."""
    shutil.copytree(folder, out)
    with rasterio.open(out / "damage.tif") as file:
        profile, values = file.profile, file.read(1)
    (out / "damage.tif").unlink()
    options = {**profile, "driver": "GTiff", "crs": crs, "transform": transform}
    with rasterio.open(out / "damage.tif", "w", **options) as file:
        file.write(values, 1)
    return open_map(out)


@pytest.mark.parametrize(
    ("crs", "corner", "size"),
    [("EPSG:4326", (179.9996, -17), 5e-6), ("EPSG:3857", (20037500, -1921000), 1.0),
     ("EPSG:32661", (2000000, 2000000), 30.0)],
    ids=["degrees across 180", "Web Mercator across 180", "at the pole"],
)  # fmt: skip
def test_footprints_are_valid_anywhere_on_the_globe(town, tmp_path, crs, corner, size):
    map_ = moved(town.folder, tmp_path / "moved", crs, from_origin(*corner, size, size))
    found = footprint_of(map_)
    for each in (found.known, found.unknown, found.outline):
        assert shapely.is_valid(each)
        west, south, east, north = each.bounds
        assert -180 <= west <= east <= 180
        assert -90 <= south <= north <= 90
    west, south, east, north = found.bbox
    if "32661" not in crs:
        assert west > east
        assert len(shapely.get_parts(found.outline)) == 2
        assert (east + 360 - west) < 0.01
    assert south < north

"""Layers in the fields of others, read back by pyogrio and SQLite."""

import contextlib
import json
import sqlite3

import numpy as np
import pytest
import shapely
from pyogrio import list_layers, read_info
from pyogrio.raw import read
from pyproj import Geod, Transformer

from runtime import files
from runtime.deliver import Cells, deliver
from runtime.deliver.conventions import EMS, FEMA, UNOSAT
from runtime.deliver.footprint import footprint_of
from runtime.errors import ConfigError

CLASSES = ["no-damage", "minor-damage", "major-damage", "destroyed", "un-classified"]
EXPECTED = {
    "ems": ("damage_gra", ["No visible damage", "Possibly damaged", "Damaged", "Destroyed",
                           "Not Analysed"]),
    "fema": ("DMG_LEVEL", ["No Damage", "Minor", "Major", "Destroyed", None]),
    "unosat": ("Main_Damage_Site_Class", [6, 3, 2, 1, None]),
}  # fmt: skip
LAYERS = {"ems": "builtUpA", "fema": "damage_assessment", "unosat": "damage_sites"}


def table(path, layer):
    meta, _, wkb, values = read(path, layer=layer)
    return meta, shapely.from_wkb(wkb), dict(zip(meta["fields"], values, strict=True))


def as_it_stands(town, said):
    """By feature number: the class, of what is not a false alarm."""
    _, fids, _, (names,) = read(
        town.folder / "buildings.gpkg", layer="buildings", columns=["damage"], return_fids=True
    )
    found = dict(zip(fids.tolist(), names, strict=True)) | dict(said)
    return {number: name for number, name in found.items() if name != "not-a-building"}


@pytest.mark.parametrize("form", EXPECTED)
def test_each_building_has_the_class_of_the_convention(town, corrected, tmp_path, form):
    (path,) = deliver(town.folder, [form], tmp_path / "out")
    meta, geometry, fields = table(path, LAYERS[form])
    field, values = EXPECTED[form]
    mapped = dict(zip(CLASSES, values, strict=True))
    expected = as_it_stands(town, corrected)
    assert meta["crs"] == "EPSG:4326"
    assert len(geometry) == len(expected) + 1
    for number, name, value in zip(
        fields["map_fid"], fields["map_damage"], fields[field], strict=True
    ):
        if number != number:  # drawn
            assert name == "major-damage"
        else:
            assert name == expected[int(number)]
        told = None if value is None or value != value else value
        assert told == mapped[name]
    changed = fields["map_corrected"] == 1
    assert changed.sum() == 3  # not the one that was found right
    at = fields["map_corrected_at"]
    assert [each is not None for each in at] == changed.tolist()
    text = path.read_bytes()
    assert b"Ana Example" not in text


def test_no_value_of_a_table_is_left_to_chance():
    for mapping in (EMS, FEMA, UNOSAT):
        assert set(mapping) == {1, 2, 3, 4, 255}
    published = {"Destroyed", "Damaged", "Possibly damaged", "No visible damage", "Not Analysed"}
    assert set(EMS.values()) == published
    assert set(FEMA.values()) - {None} <= {"No Damage", "Affected", "Minor", "Major", "Destroyed"}
    assert set(UNOSAT.values()) - {None} <= {1, 2, 3, 4, 5, 6, 11}


def test_outlines_keep_their_place_and_area(town, corrected, tmp_path):
    deliver(town.folder, ["ems", "unosat"], tmp_path / "out")
    _, outlines, fields = table(tmp_path / "out" / "ems.gpkg", "builtUpA")
    _, points, _ = table(tmp_path / "out" / "unosat.gpkg", "damage_sites")
    assert shapely.covers(outlines, points).all()
    geod = Geod(ellps="WGS84")
    areas = [abs(geod.geometry_area_perimeter(each)[0]) for each in outlines]
    assert sum(areas) == pytest.approx(fields["map_area_m2"].sum(), rel=2e-3)
    to_map = Transformer.from_crs(4326, 32614, always_xy=True)
    drawn = shapely.transform(outlines[-1], lambda xy: np.column_stack(to_map.transform(*xy.T)))
    left, top = town.place.transform[2], town.place.transform[5]
    assert drawn.bounds == pytest.approx((left + 65, top - 8, left + 68, top - 5), abs=0.01)


def test_ems_tells_the_images_and_what_was_not_analysed(town, tmp_path):
    deliver(town.folder, ["ems"], tmp_path / "out", taken=("2026-10-03", "2026-11-29T08:14:00Z"))
    path = tmp_path / "out" / "ems.gpkg"
    assert {name for name, _ in list_layers(path)} == {
        "builtUpA", "source", "areaOfInterestA", "notAnalysedA"
    }  # fmt: skip
    _, _, _, values = read(path, layer="source", read_geometry=False)
    assert [each.tolist() for each in values] == [
        ["pre.tif", "post.tif"], ["03/10/2026", "29/11/2026"], [None, "T08:14:00Z"],
        ["0.50 m", "0.50 m"], ["Pre-event", "Post-event"], [1, 2],
    ]  # fmt: skip
    _, _, fields = table(path, "builtUpA")
    assert set(fields["det_method"]) == {"Automatic extraction"}
    assert set(fields["or_src_id"]) == {1}
    geod = Geod(ellps="WGS84")
    areas = {}
    for layer in ("areaOfInterestA", "notAnalysedA"):
        (shape,) = table(path, layer)[1]
        assert shape.is_valid
        areas[layer] = abs(geod.geometry_area_perimeter(shape)[0])
    assert areas["areaOfInterestA"] == pytest.approx(85 * 50, rel=2e-3)
    assert areas["notAnalysedA"] == pytest.approx(35 * 30, rel=2e-3)


def test_what_a_person_checked_was_interpreted(town, corrected, tmp_path):
    deliver(town.folder, ["ems"], tmp_path / "out")
    _, _, fields = table(tmp_path / "out" / "ems.gpkg", "builtUpA")
    people = fields["det_method"] == "Photo-interpretation"
    assert people.sum() == 4  # those corrected, the one found right, and the one drawn


def test_a_geopackage_says_where_it_comes_from(town, corrected, tmp_path):
    paths = deliver(town.folder, ["ems", "fema", "unosat", "grid"], tmp_path / "out")
    for path in paths:
        layer = list_layers(path)[0][0]
        told = read_info(path, layer=layer)["dataset_metadata"]
        engine = town.summary["engine"]
        assert told["ENGINE_CHECKPOINT_SHA256"] == engine["checkpoint_sha256"]
        assert told["IMAGE_AFTER"] == "post.tif"
        assert told["CORRECTIONS"] == "4"
        assert told["MAP_DAMAGE_SHA256"] == files.sha256(town.folder / "damage.tif")
        with contextlib.closing(sqlite3.connect(path)) as base:
            assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert base.execute("PRAGMA foreign_key_check").fetchall() == []
            scopes = base.execute(
                "SELECT reference_scope, md_scope, mime_type FROM gpkg_metadata_reference "
                "JOIN gpkg_metadata ON md_file_id = id"
            ).fetchall()
            assert scopes == [("geopackage", "dataset", "text/xml")]
            named = base.execute(
                "SELECT table_name FROM gpkg_extensions WHERE extension_name = 'gpkg_metadata'"
            ).fetchall()
            assert {name for (name,) in named} == {"gpkg_metadata", "gpkg_metadata_reference"}


def test_the_grid_may_be_squares_hexagons_or_areas(town, tmp_path):
    file = tmp_path / "whole.geojson"
    outline = json.dumps(json.loads(shapely.to_geojson(footprint_of(town).outline)))
    file.write_text(f'{{"type": "Feature", "properties": {{}}, "geometry": {outline}}}')
    given = {"500mN": Cells(), "25mN": Cells(25), "8c": Cells(h3=12), "": Cells(areas=file)}
    for kind, cells in given.items():
        out = tmp_path / f"of-{kind}"
        deliver(town.folder, ["grid"], out, cells=cells)
        _, _, fields = table(out / "cells.gpkg", "cells")
        assert all(name.startswith(kind) for name in fields["cell"])
        assert np.nansum(fields["buildings"]) == town.summary["buildings"]


def test_the_map_is_as_it_was_and_is_never_delivered_onto(town, corrected, tmp_path):
    before = {path.name: files.sha256(path) for path in town.folder.iterdir()}
    deliver(town.folder, ["ems", "grid"], tmp_path / "out")
    assert {path.name: files.sha256(path) for path in town.folder.iterdir()} == before
    for out in (town.folder, town.folder / "." / ".." / "town"):
        with pytest.raises(ConfigError, match="holds a map"):
            deliver(town.folder, ["ems"], out)


def test_a_map_without_a_building_has_its_layers(mapped, scene, write_raster, tmp_path):
    pre, post, first, _ = scene(60, 60)
    first[:] = 10
    write_raster(pre, first)
    summary, out = mapped(pre, post)
    assert summary["buildings"] == 0
    paths = deliver(out, ["ems", "fema", "unosat", "grid"], tmp_path / "given")
    assert [path.name for path in paths] == ["cells.gpkg", "ems.gpkg", "fema.gpkg", "unosat.gpkg"]
    _, geometry, fields = table(tmp_path / "given" / "ems.gpkg", "builtUpA")
    assert len(geometry) == 0
    assert "damage_gra" in fields
    _, _, fields = table(tmp_path / "given" / "cells.gpkg", "cells")
    assert set(fields["buildings"]) == {0}


def test_a_picture_is_not_handed_over(mapped, draw, tmp_path):
    import cv2

    for name, image in zip(("pre", "post"), draw(32, 48), strict=True):
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
    _, out = mapped(tmp_path / "pre.png", tmp_path / "post.png")
    with pytest.raises(ConfigError, match="a picture without coordinates"):
        deliver(out, ["ems"], tmp_path / "delivered")
    assert not (tmp_path / "delivered").exists()

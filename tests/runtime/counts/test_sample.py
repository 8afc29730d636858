"""A sample from the draw to the estimate, as a field team goes through it."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pyogrio
import pytest

from runtime.corrections import Corrections
from runtime.corrections.finished_map import FinishedMap
from runtime.counts import ESTIMATE, SAMPLE, Sample, draw, estimate
from runtime.counts.ground import cells_of
from runtime.errors import ConfigError
from runtime.mapping import map_pair
from runtime.options import MapOptions


def _check_all(folder, classes=None, missed=()):
    """Every building is what the map says, or what `classes` says; cells hold nothing."""
    sample = Sample(folder)
    for row in sample.rows:
        if row.kind == "building":
            said = (classes or {}).get(row.building)
            sample.check(row.id, said or sample.map.building(row.building).damage_class)
        elif row.id in missed:
            sample.check(row.id, None, {"destroyed": 1})
        else:
            sample.check(row.id, "nothing-missed")
    return sample


def test_a_sample_has_known_chances_and_lies_on_the_map(placed):
    sample = draw(placed, 40, 20, seed=3)
    kinds = Counter(row.kind for row in sample.rows)
    assert kinds == {"building": 40, "cell": 20}
    meta, fids, geometry, values = pyogrio.raw.read(
        placed / SAMPLE, layer="sample", return_fids=True
    )
    fields = dict(zip(meta["fields"], values, strict=True))
    assert meta["crs"] == "EPSG:4326"
    assert len(fids) == len(geometry) == 60
    assert set(fields["true_class"]) == {""}
    for kind in ("building", "cell"):
        here = fields["kind"] == kind
        frame = sum(each.size for each in sample.strata if each.kind == kind)
        assert (1 / fields["chance"][here]).sum() == pytest.approx(frame)  # each stands for others
        assert ((fields["chance"][here] > 0) & (fields["chance"][here] <= 1)).all()
    assert sum(each.size for each in sample.strata if each.kind == "building") == 73
    again = {row.building for row in draw(placed, 40, 20, seed=3, replace=True).rows}
    assert again == {row.building for row in sample.rows}
    other = {row.building for row in draw(placed, 40, 20, seed=4, replace=True).rows}
    assert other != again
    assert len(list(placed.glob("sample-*.gpkg"))) == 2


def test_qgis_finds_a_list_of_classes_to_choose_from(picture):
    draw(picture, 20, 6)
    with sqlite3.connect(picture / SAMPLE) as base:
        ((name, text),) = base.execute("SELECT f_table_name, styleQML FROM layer_styles").fetchall()
        assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert base.execute("PRAGMA foreign_key_check").fetchall() == []
    assert name == "sample"
    assert 'type="ValueMap"' in text
    assert 'name="not-a-building"' in text


def test_whoever_checks_in_qgis_is_not_told_what_the_map_says(placed):
    """No column holds the class. A stratum is of one class: neither form nor table shows it."""
    sample = draw(placed, 40, 6)
    meta, _, _, columns = pyogrio.raw.read(placed / SAMPLE, layer="sample")
    values = dict(zip(meta["fields"], columns, strict=True))
    known = set(sample.corrections.mapped())
    assert not any(known & {str(each) for each in column} for column in values.values())
    with sqlite3.connect(placed / SAMPLE) as base:
        ((text,),) = base.execute("SELECT styleQML FROM layer_styles").fetchall()
    style = ElementTree.fromstring(text.split("\n", 1)[1])
    assert style.find("renderer-v2").get("attr") == "true_class"
    for name in ("stratum", "chance"):
        widget = style.find(f"fieldConfiguration/field[@name='{name}']/editWidget")
        assert widget.get("type") == "Hidden"
        column = style.find(f"attributetableconfig/columns/column[@name='{name}']")
        assert column.get("hidden") == "1"
    assert "AttributeTable" in style.get("styleCategories")


def test_an_estimate_says_how_many_were_not_checked_blind(picture):
    sample = draw(picture, 40, 12)
    _check_all(picture)
    buildings = [row for row in sample.rows if row.kind == "building"]
    for at, row in enumerate(buildings):
        seen = at < 3 if at < 30 else None
        sample.check(row.id, sample.map.building(row.building).damage_class, None, seen)
    sample.check(buildings[39].id, None)  # known by a correction alone
    with Corrections(picture) as corrections:
        corrections.set(buildings[39].building, "destroyed", "Ana")
    _, _, _, columns = pyogrio.raw.read(picture / SAMPLE, layer="sample", columns=["class_seen"])
    assert [bool(each) for each in columns[0][:30]] == [at < 3 for at in range(30)]
    assert [row.class_seen for row in Sample(picture).rows[:40]] == (
        [True] * 3 + [False] * 27 + [None] * 10
    )
    content = estimate(picture)
    assert (content["checked_blind"], content["checked_class_seen"]) == (27, 4)
    assert content["notes"][0].startswith("4 of 40 buildings were not checked blind")
    assert content["notes"][1].startswith("9 of 40 checked buildings do not say whether")
    for row in buildings:
        sample.check(row.id, "destroyed", None, False)
    Corrections(picture).remove(1)
    content = estimate(picture)
    assert (content["checked_blind"], content["checked_class_seen"]) == (40, 0)
    assert content["notes"] == []


def test_a_sample_is_not_drawn_twice_without_a_word(picture):
    draw(picture, 20, 6)
    with pytest.raises(ConfigError, match="is there already, and may be checked; --replace"):
        draw(picture, 20, 6)


def test_an_unfinished_sample_is_refused_or_taken_as_nonresponse(picture):
    draw(picture, 40, 12)
    with pytest.raises(ConfigError, match=r"40 buildings and 12 cells of 52 rows are not checked"):
        estimate(picture)
    with pytest.raises(ConfigError, match="which tells nothing of it; check 2 at least"):
        estimate(picture, partial=True)
    sample = _check_all(picture)
    with sqlite3.connect(picture / SAMPLE) as base:
        base.execute("UPDATE sample SET true_class = NULL WHERE fid = ?", (sample.rows[0].id,))
    with pytest.raises(ConfigError, match=r"1 buildings of 52 rows are not checked \(rows 1\)"):
        estimate(picture)
    content = estimate(picture, partial=True)
    assert (content["checked"], content["not_checked"]) == (39, 1)
    assert "left out: right only if they are like the others" in content["notes"][0]


def test_an_estimate_says_what_the_contract_says(picture):
    draw(picture, 40, 12)
    _check_all(picture)
    content = estimate(picture)
    assert content == json.loads((picture / ESTIMATE).read_text())
    assert set(content) >= {
        "classes", "level", "method", "checked", "date", "corrections"
    }  # fmt: skip
    assert content["classes"]["no-damage"]["mapped"] == 32
    for name, row in content["classes"].items():
        assert row["low"] <= row["estimate"] <= row["high"], name
        if name != "not-a-building":
            assert row["low"] < row["mapped"] < row["high"]  # all were right, and not all checked
            assert row["estimate"] == pytest.approx(row["mapped"], abs=0.05)
    assert content["method"] == "prediction-powered"
    assert estimate(picture, "stratified")["method"] == "stratified"
    wide = estimate(picture, level=0.99)["classes"]["destroyed"]
    assert wide["high"] > content["classes"]["destroyed"]["high"]


def test_all_buildings_and_cells_checked_is_a_count(picture):
    found = draw(picture, 73, 10_000)
    missed = [row.id for row in found.rows if row.kind == "cell"][:3]
    wrong = next(row.building for row in found.rows if row.kind == "building")
    was = found.map.building(wrong).damage_class
    _check_all(picture, {wrong: "not-a-building"}, missed)
    classes = estimate(picture)["classes"]
    for name, row in classes.items():
        expected = row["mapped"] - (name == was) + 3 * (name == "destroyed")
        expected += name == "not-a-building"
        assert (row["low"], row["estimate"], row["high"]) == (expected,) * 3


def test_corrections_on_sampled_buildings_count_as_checked(picture):
    sample = draw(picture, 40, 0)
    with Corrections(picture) as corrections:
        for row in sample.rows:
            corrections.set(row.building, corrections.building(row.building).damage_class, "Ana")
        corrections.set(sample.rows[0].building, "not-a-building", "Ana")
        others = {each.id for each in corrections.buildings()} - {r.building for r in sample.rows}
        corrections.set(min(others), "not-a-building", "Ana")
    content = estimate(picture)
    assert (content["checked"], content["corrections"]) == (40, 2)
    assert content["classes"]["not-a-building"]["estimate"] > 1
    assert "no ground was searched" in content["notes"][0]
    assert "1 buildings outside of the sample were corrected since" in content["notes"][1]
    Sample(picture).check(sample.rows[0].id, "destroyed")
    with pytest.raises(ConfigError, match="says not-a-building; make them agree"):
        estimate(picture)


def test_what_was_corrected_before_the_draw_is_known(picture):
    with Corrections(picture) as corrections:
        corrections.set(5, "not-a-building", "Ana")
        corrections.set(6, "destroyed", "Ana")
        corrections.add([(100, 100), (120, 100), (120, 120)], "destroyed", "Ana")
    sample = draw(picture, 71, 0)
    assert not {5, 6} & {row.building for row in sample.rows}
    _check_all(picture)
    content = estimate(picture)
    totals = Corrections(picture).totals()
    for name in totals:
        row = content["classes"][name]
        assert (row["low"], row["estimate"], row["high"]) == (totals[name],) * 3
    assert content["classes"]["not-a-building"]["estimate"] == 1
    Corrections(picture).remove(1)
    with pytest.raises(
        ConfigError, match=r"building 5 \(not-a-building\) was among the corrections"
    ):
        estimate(picture)


def test_a_drawn_building_is_known_by_its_outline(picture):
    """Not by its class: another one of that class is no substitute for it."""
    old = [(100, 100), (120, 100), (120, 120)]
    with Corrections(picture) as corrections:
        first = corrections.add(old, "destroyed", "Ana")
    sample = draw(picture, 71, 30)
    _check_all(picture)
    cell = next(row for row in sample.rows if row.kind == "cell")
    left, top, right, bottom = cell.corners
    x, y = (left + right) / 2, (top + bottom) / 2
    with Corrections(picture) as corrections:
        corrections.remove(first.id)
    with pytest.raises(ConfigError, match=r"a building that was drawn \(destroyed\) was among"):
        estimate(picture)
    with Corrections(picture) as corrections:
        corrections.add([(x - 3, y - 3), (x + 3, y - 3), (x, y + 3)], "destroyed", "Ana")
    with pytest.raises(ConfigError, match="1 missed buildings are drawn in that cell"):
        estimate(picture)
    Sample(picture).check(cell.id, "missed-are-drawn")
    with pytest.raises(ConfigError, match=r"a building that was drawn \(destroyed\) was among"):
        estimate(picture)
    with Corrections(picture) as corrections:
        corrections.add(old, "minor-damage", "Ana")
    assert estimate(picture)["classes"]["minor-damage"]["low"] >= 1
    assert estimate(picture)["missed"]["estimate"] > 1


def test_drawn_buildings_are_counted_in_the_cell_of_their_centre(picture):
    sample = draw(picture, 20, 30)
    cells = [row for row in sample.rows if row.kind == "cell"]
    _check_all(picture)
    left, top, right, bottom = cells[0].corners
    x, y = (left + right) / 2, (top + bottom) / 2
    with Corrections(picture) as corrections:
        corrections.add([(x - 3, y - 3), (x + 3, y - 3), (x, y + 3)], "destroyed", "Ana")
    with pytest.raises(ConfigError, match="1 missed buildings are drawn in that cell"):
        estimate(picture)
    Sample(picture).check(cells[0].id, "missed-are-drawn")
    content = estimate(picture)
    size = next(each for each in sample.strata if each.number == cells[0].stratum)
    assert content["missed"]["estimate"] == pytest.approx(size.size / size.sampled, abs=0.05)


def test_a_sample_of_another_map_is_refused(picture, placed):
    draw(picture, 20, 6)
    (placed / SAMPLE).write_bytes((picture / SAMPLE).read_bytes())
    with pytest.raises(ConfigError, match="was made for another map"):
        estimate(placed)
    (picture / SAMPLE).unlink()
    with pytest.raises(ConfigError, match="does not exist; draw a sample with dual-hrnet counts"):
        estimate(picture)


EDITS = {
    "flat": ("true_class = 'flat'", "row 1 (building): true_class is 'flat'; expected no-damage"),
    "cell word": ("true_class = 'nothing-missed'", "row 1 (building): true_class is 'nothing-mis"),
    "counts": ("missed_destroyed = 1", "row 1 (building): counts missed buildings"),
    "added": ("building = 1, stratum = 99", "rows were added, deleted, or given another building"),
    "moved": ("building = building + 1000", "rows were added, deleted, or given another building"),
    "sight": ("class_seen = 'perhaps'", "row 1: class_seen is 'perhaps'; expected true, false, or"),
    "renamed": ("building = NULL", "rows were added, deleted, or given another building"),
}


@pytest.mark.parametrize(("change", "message"), EDITS.values(), ids=EDITS)
def test_what_cannot_be_meant_is_told_by_its_row(picture, change, message):
    draw(picture, 20, 6)
    with sqlite3.connect(picture / SAMPLE) as base:
        base.execute(f"UPDATE sample SET {change} WHERE fid = 1")
    with pytest.raises(ConfigError) as told:
        estimate(picture)
    assert message in str(told.value)


@pytest.mark.parametrize("field", ["class_seen", "true_class", "missed_destroyed"])
def test_a_field_that_was_deleted_is_named(picture, field):
    draw(picture, 20, 6)
    with sqlite3.connect(picture / SAMPLE) as base:
        base.execute(f"ALTER TABLE sample DROP COLUMN {field}")
    with pytest.raises(ConfigError, match=f"the field {field} is missing; restore the file"):
        estimate(picture)


def test_what_is_said_of_the_draw_is_not_for_people(picture):
    draw(picture, 20, 6)
    with sqlite3.connect(picture / SAMPLE) as base:
        base.execute("UPDATE design SET value = 'none' WHERE name = 'buildings_not_computed'")
    with pytest.raises(ConfigError, match="rows were added, deleted"):
        estimate(picture)


def test_a_class_may_be_typed_in_any_case(picture):
    draw(picture, 20, 6)
    with sqlite3.connect(picture / SAMPLE) as base:
        base.execute("UPDATE sample SET true_class = ' No Damage' WHERE fid = 1")
    assert Sample(picture).rows[0].true_class == "no-damage"


@pytest.mark.parametrize("missed", ["-1", "1.5", "'two'"])
def test_numbers_of_missed_ones_are_whole(picture, missed):
    sample = draw(picture, 20, 6)
    cell = next(row.id for row in sample.rows if row.kind == "cell")
    with sqlite3.connect(picture / SAMPLE) as base:
        base.execute(f"UPDATE sample SET missed_destroyed = {missed} WHERE fid = {cell}")
    with pytest.raises(ConfigError, match="expected a whole number, 0 or more"):
        Sample(picture)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"buildings": 5}, "--n 5: expected 20"),
        ({"cells": 3}, "--cells 3: expected 6 or more, or 0"),
        ({"seed": -1}, "--seed -1"),
        ({"side": 2}, "--cell 2"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(picture, given, message):
    with pytest.raises(ConfigError, match=message):
        draw(picture, **given)
    assert not (picture / SAMPLE).exists()


def test_cells_tile_the_ground_that_was_computed(picture):
    import cv2

    damage = cv2.imread(str(picture / "damage.png"), cv2.IMREAD_UNCHANGED)
    damage[:64, :64] = 255
    damage[64:70, :10] = 255
    cv2.imwrite(str(picture / "damage.png"), damage)
    cells = cells_of(FinishedMap(picture), 64)
    assert (len(cells), cells.without, cells.partly) == (35, 1, 1)
    confidence = cv2.imread(str(picture / "confidence.png"), cv2.IMREAD_UNCHANGED)
    doubt = np.where(damage == 0, 1 - confidence / 255, 0)
    for index in range(len(cells)):
        left, top = cells.left[index], cells.top[index]
        assert cells.suspicion[index] == pytest.approx(
            doubt[top : top + 64, left : left + 64].sum()
        )


def test_a_map_without_its_damage_map_is_told(picture):
    (picture / "damage.png").unlink()
    with pytest.raises(ConfigError, match=r"damage.png: is missing; expected the map's own file"):
        draw(picture, 20, 6)
    assert not (picture / SAMPLE).exists()


def test_what_a_killed_draw_left_is_no_sample(picture):
    (picture / SAMPLE).touch()
    with pytest.raises(ConfigError, match="does not exist; draw a sample"):
        Sample(picture)
    assert len(draw(picture, 20, 0).rows) == 20


def test_the_command_draws_checks_and_estimates(command, error_line, picture):
    done = command("runtime.counts", "sample", picture)
    assert "73 buildings and 100 cells to check" in done.stdout, done.stderr
    error = error_line("runtime.counts", "sample", picture)
    assert "is there already" in error
    done = command(
        "runtime.counts", "sample", picture, "--n", "20", "--cells", "6", "--replace", "--json"
    )
    assert json.loads(done.stdout)["buildings"] == 20
    assert command("runtime.counts", "check", picture, "1", "destroyed").returncode == 0
    assert (Sample(picture).rows[0].true_class, Sample(picture).rows[0].class_seen) == (
        "destroyed", None,
    )  # fmt: skip
    command("runtime.counts", "check", picture, "1", "destroyed", "--class-seen", "no")
    assert Sample(picture).rows[0].class_seen is False
    cell = str(next(row.id for row in Sample(picture).rows if row.kind == "cell"))
    done = command("runtime.counts", "check", picture, cell, "--missed", "destroyed=2")
    assert done.returncode == 0, done.stderr
    _check_all(picture)
    done = command("runtime.counts", "estimate", picture)
    assert "95 % interval" in done.stdout
    assert "20 buildings and 6 cells checked" in done.stdout


@pytest.fixture
def empty(engine, scene, write_raster, tmp_path):
    """A placed map without a building."""
    pre, post, first, _ = scene(96, 96)
    first[:] = 10
    write_raster(pre, first)
    out = tmp_path / "out"
    assert map_pair(engine, pre, post, out, MapOptions())["buildings"] == 0
    return out


def test_of_a_map_without_a_building_the_ground_is_sampled(empty):
    sample = draw(empty, 20, 6)
    rows = {row.id: row for row in sample.rows}
    assert {row.kind for row in rows.values()} == {"cell"}
    assert sum(each.size for each in sample.strata) == 9  # of 32 pixels a side
    first, second = list(rows)[:2]
    _check_all(empty)
    Sample(empty).check(first, None, {"destroyed": 2})
    Sample(empty).check(second, None, {"no-damage": 1})
    content = estimate(empty)
    assert (content["checked"], content["cells"], content["method"]) == (0, 6, "stratified")
    weight = {each.number: each.size / each.sampled for each in sample.strata}
    wanted = {
        "destroyed": 2 * weight[rows[first].stratum], "no-damage": weight[rows[second].stratum],
        "minor-damage": 0, "major-damage": 0, "not-a-building": 0,
    }  # fmt: skip
    for name, total in wanted.items():
        found = content["classes"][name]
        assert found["mapped"] == 0
        assert found["estimate"] == pytest.approx(total, abs=0.05)
        assert found["low"] <= found["estimate"] <= found["high"]
    assert content["classes"]["minor-damage"]["high"] > 1  # none was seen in six of nine cells
    assert content["classes"]["not-a-building"]["high"] == 0
    assert content["missed"]["estimate"] == pytest.approx(sum(wanted.values()), abs=0.1)


def test_without_buildings_and_ground_there_is_nothing_to_draw(empty):
    with pytest.raises(ConfigError, match="no building is left to check, and no ground to search"):
        draw(empty, 20, 0)
    with Corrections(empty) as corrections:
        assert corrections.count() == 0
    assert not (empty / SAMPLE).exists()


def test_where_all_buildings_are_known_the_ground_is_sampled(picture):
    with Corrections(picture) as corrections:
        for each in list(corrections.buildings()):
            corrections.set(each.id, each.damage_class, "Ana")
        totals = corrections.totals()
    assert {row.kind for row in draw(picture, 20, 6).rows} == {"cell"}
    _check_all(picture)
    for name, number in totals.items():
        found = estimate(picture)["classes"][name]
        assert (found["low"], found["estimate"]) == (number, number)
        assert found["high"] > number  # of the ground, a part was searched


def test_a_class_that_the_map_has_not_is_estimated_from_the_others(picture):
    """None is mapped destroyed; one of those that are checked is."""
    path = picture / "buildings.geojson"
    path.write_text(path.read_text().replace('"damage": "destroyed"', '"damage": "major-damage"'))
    summary = json.loads((picture / "summary.json").read_text())
    classes = summary["classes"]
    classes["major-damage"]["buildings"] += classes["destroyed"].pop("buildings")
    classes["destroyed"]["buildings"] = 0
    (picture / "summary.json").write_text(json.dumps(summary))
    sample = draw(picture, 40, 0)
    mapped = {each.mapped_class for each in sample.strata}
    assert mapped == {"no-damage", "minor-damage", "major-damage"}
    chosen = sample.rows[0]
    _check_all(picture, {chosen.building: "destroyed"})
    stratum = next(each for each in sample.strata if each.number == chosen.stratum)
    found = estimate(picture, "stratified")["classes"]["destroyed"]
    assert found["mapped"] == 0
    assert found["estimate"] == pytest.approx(stratum.size / stratum.sampled, abs=0.05)
    assert 1 <= found["low"] <= found["estimate"] < found["high"]

"""Corrections beside a finished map: kept whole, of that map alone, and never in its own files."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely

from runtime.corrections import CORRECTIONS, Corrections
from runtime.errors import ConfigError

SQUARE = [(10, 10), (30, 10), (30, 30), (10, 30)]


def _hashes(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != CORRECTIONS
    }


@pytest.fixture(params=["picture", "placed"])
def folder(request) -> Path:
    return request.getfixturevalue(request.param)


def test_buildings_are_those_that_gdal_reads_in_pixels(folder):
    placed = (folder / "buildings.gpkg").exists()
    file = folder / ("buildings.gpkg" if placed else "buildings.geojson")
    meta, fids, encoded, values = pyogrio.raw.read(
        file, layer="buildings" if placed else None, return_fids=True
    )
    fields = dict(zip(meta["fields"], values, strict=True))
    shapes = shapely.from_wkb(encoded)
    if placed:
        with rasterio.open(folder / "damage.tif") as damage:
            a, b, c, d, e, f, *_ = ~damage.transform
        shapes = shapely.transform(
            shapes, lambda p: np.column_stack([p @ [a, b] + c, p @ [d, e] + f])
        )
    found = list(Corrections(folder).buildings())
    assert [each.id for each in found] == fids.tolist()
    assert [each.damage_class for each in found] == fields["damage"].tolist()
    assert [each.confidence for each in found] == fields["confidence"].tolist()
    assert [each.area_px for each in found] == fields["area_px"].tolist()
    for each, shape in zip(found, shapes, strict=True):
        assert shapely.Polygon(each.ring).area == pytest.approx(
            shapely.Polygon(shape.exterior).area, abs=0.01
        )
        assert each.centre == pytest.approx(
            shapely.Polygon(shape.exterior).centroid.coords[0], abs=1e-3
        )
        assert sum(each.shares.values()) == pytest.approx(1, abs=2e-4)
    assert (found[0].lon is not None) == placed


def test_centres_have_the_longitude_and_latitude_of_the_geojson(placed):
    features = json.loads((placed / "buildings.geojson").read_text())["features"]
    for each, feature in zip(Corrections(placed).buildings(), features, strict=True):
        x, y = shapely.Polygon(feature["geometry"]["coordinates"][0]).centroid.coords[0]
        assert (each.lon, each.lat) == pytest.approx((x, y), abs=1e-7)


def test_a_later_correction_replaces_and_the_history_keeps_both(folder):
    before = _hashes(folder)
    with Corrections(folder) as corrections:
        building = next(iter(corrections.buildings()))
        first = corrections.set(building.id, "destroyed", "Ana")
        second = corrections.set(building.id, "minor-damage", "Bo")
        assert second.id == first.id
        assert corrections.all() == [second]
        assert (second.old_class, second.new_class) == (building.damage_class, "minor-damage")
        assert second.ring == building.ring
        corrections.remove(second.id, "Ana")
        assert corrections.all() == []
        assert corrections.building(building.id).corrected is None
    with sqlite3.connect(folder / CORRECTIONS) as base:
        kept = base.execute("SELECT action, new_class, who FROM history ORDER BY fid").fetchall()
    assert kept == [
        ("set", "destroyed", "Ana"),
        ("set", "minor-damage", "Bo"),
        ("remove", "minor-damage", "Ana"),
    ]
    assert _hashes(folder) == before


def test_totals_count_corrections_in(folder):
    with Corrections(folder) as corrections:
        mapped = Counter(each.damage_class for each in corrections.buildings())
        assert corrections.totals() == corrections.mapped() == {**mapped}
        one, two, three = [
            each.id for each in corrections.buildings() if each.damage_class == "no-damage"
        ][:3]
        corrections.set(one, "destroyed", "Ana")
        corrections.set(two, "not-a-building", "Ana")
        corrections.set(three, "no-damage", "Ana")
        corrections.add(SQUARE, "destroyed", "Ana")
        expected = mapped + Counter({"destroyed": 2}) - Counter({"no-damage": 2})
        assert corrections.totals() == dict(expected)
        assert corrections.mapped() == dict(mapped)
        assert corrections.count() == 3  # the third was found right
        assert len(corrections.all()) == 4
        assert corrections.building(three).corrected == "no-damage"


def test_gdal_reads_them_in_the_crs_of_the_map(placed):
    with Corrections(placed) as corrections:
        building = next(iter(corrections.buildings()))
        corrections.set(building.id, "destroyed", "Ana")
        corrections.add(SQUARE, "minor-damage", "Bo")
    info = pyogrio.read_info(placed / CORRECTIONS, layer="corrections")
    original = pyogrio.read_info(placed / "buildings.gpkg", layer="buildings")
    assert (info["crs"], info["geometry_type"]) == (original["crs"], "Polygon")
    _, _, encoded, values = pyogrio.raw.read(placed / CORRECTIONS, layer="corrections")
    corrected, drawn = shapely.from_wkb(encoded)
    _, _, ours, _ = pyogrio.raw.read(placed / "buildings.gpkg", layer="buildings", max_features=1)
    assert corrected.equals_exact(shapely.from_wkb(ours)[0], 1e-9)
    with rasterio.open(placed / "damage.tif") as damage:
        corners = [damage.xy(y, x, offset="ul") for x, y in SQUARE]
    assert drawn.equals_exact(shapely.Polygon(corners), 1e-9)
    assert values[0][0] == building.id
    assert np.isnan(values[0][1])
    assert values[3].tolist() == ["Ana", "Bo"]


def test_the_geopackage_has_the_tables_and_the_header_of_the_standard(folder):
    with Corrections(folder) as corrections:
        corrections.add(SQUARE, "minor-damage", "Bo")
    content = (folder / CORRECTIONS).read_bytes()
    assert content[68:72] == b"GPKG"
    with sqlite3.connect(folder / CORRECTIONS) as base:
        assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert base.execute("PRAGMA foreign_key_check").fetchall() == []
        listed = dict(base.execute("SELECT table_name, data_type FROM gpkg_contents"))
    assert listed == {"corrections": "features", "history": "attributes", "map": "attributes"}


@pytest.mark.parametrize("who", ["", "  ", "Ana\nBo", "x" * 201, None])
def test_a_name_is_needed(picture, who):
    with pytest.raises(ConfigError, match="the name of the person"):
        Corrections(picture).set(0, "destroyed", who)
    assert not (picture / CORRECTIONS).exists()


def test_html_in_a_name_is_kept_as_text(picture):
    name = "<script>alert('x')</script> \"); DROP TABLE corrections; --"
    assert Corrections(picture).set(0, "destroyed", name).who == name
    assert Corrections(picture).all()[0].who == name


@pytest.mark.parametrize("name", ["gone", "", "Destroyed", "background", None])
def test_an_unknown_class_is_refused(picture, name):
    with pytest.raises(ConfigError, match="is unknown; expected no-damage, "):
        Corrections(picture).set(0, name, "Ana")


@pytest.mark.parametrize("name", ["gone", "not-a-building"])
def test_what_is_drawn_is_a_building(picture, name):
    with pytest.raises(ConfigError, match="is unknown; expected no-damage, "):
        Corrections(picture).add(SQUARE, name, "Ana")


@pytest.mark.parametrize("building", [-1, 73, 10**30])
def test_an_unknown_building_is_refused(folder, building):
    building += (folder / "buildings.gpkg").exists()  # GDAL numbers these from 1
    with pytest.raises(ConfigError, match=f"has no building {building}"):
        Corrections(folder).set(building, "destroyed", "Ana")


def test_an_unknown_correction_is_refused(picture):
    with pytest.raises(ConfigError, match="has no correction 1"):
        Corrections(picture).remove(1)
    Corrections(picture).set(0, "destroyed", "Ana")
    with pytest.raises(ConfigError, match="has no correction 2"):
        Corrections(picture).remove(2)


BAD_RINGS = {
    "two corners": [(0, 0), (1, 1)],
    "one corner thrice": [(5, 5), (5, 5), (5, 5)],
    "a line": [(0, 0), (5, 5), (9, 9)],
    "a bow": [(0, 0), (10, 10), (10, 0), (0, 10)],
    "a spike": [(0, 0), (10, 0), (10, 10), (10, 20), (10, 10), (0, 10)],
    "a touch": [(0, 0), (10, 0), (10, 10), (5, 0), (0, 10)],
    "outside": [(-1, 0), (10, 0), (10, 10)],
    "beyond": [(0, 0), (385, 0), (10, 10)],
    "nan": [(0, 0), (float("nan"), 0), (10, 10)],
    "infinite": [(0, 0), (float("inf"), 0), (10, 10)],
    "text": [("a", "b"), (1, 2), (3, 4)],
    "three numbers": [(0, 0, 1), (10, 0, 1), (10, 10, 1)],
    "ragged": [(0, 0), (10,), (10, 10)],
    "nothing": [],
    "huge": [(0, 0), (1e308, 0), (1e308, 1e308)],
}


@pytest.mark.parametrize("ring", BAD_RINGS.values(), ids=BAD_RINGS)
def test_a_ring_that_is_no_outline_is_refused(picture, ring):
    with pytest.raises(ConfigError, match="^a ring"):
        Corrections(picture).add(ring, "destroyed", "Ana")
    assert not (picture / CORRECTIONS).exists()


def test_rings_are_judged_as_geos_judges_them():
    from runtime.corrections import rings

    random = np.random.default_rng(3)
    seen = Counter()
    for _ in range(1500):
        points = random.integers(0, 7, (random.integers(3, 8), 2)).astype(float)
        polygon = shapely.Polygon(points)
        expected = bool(polygon.is_valid) and polygon.area > 0
        try:
            rings.checked(points.tolist(), 10, 10)
            found = True
        except ConfigError:
            found = False
        assert found == expected, points.tolist()
        seen[expected] += 1
    assert min(seen.values()) > 200


def test_a_folder_that_is_no_finished_map_is_refused(tmp_path, picture):
    with pytest.raises(ConfigError, match="holds no summary.json; expected the folder of a finish"):
        Corrections(tmp_path / "none")
    with pytest.raises(ConfigError, match="is a file; expected the folder"):
        Corrections(picture / "damage.png")
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(ConfigError, match="is no summary of a map"):
        Corrections(tmp_path)
    (picture / "buildings.geojson").unlink()
    with pytest.raises(ConfigError, match=r"buildings.geojson: is missing"):
        Corrections(picture)


def test_a_map_whose_buildings_were_edited_is_refused(picture, placed):
    with sqlite3.connect(placed / "buildings.gpkg") as base:
        for name in ("IsEmpty", "MinX", "MaxX", "MinY", "MaxY"):  # its index's triggers name them
            base.create_function(f"ST_{name}", 1, lambda _: 0.0)
        base.execute("UPDATE buildings SET damage = 'destroyed' WHERE fid = 1")
    text = (picture / "buildings.geojson").read_text()
    (picture / "buildings.geojson").write_text(text.replace("no-damage", "destroyed", 1))
    for folder in (picture, placed):
        with pytest.raises(ConfigError, match="are not those that summary.json counts"):
            Corrections(folder)


def test_a_map_that_was_looked_at_in_a_gis_is_the_same_map(placed):
    with sqlite3.connect(placed / "buildings.gpkg") as base:  # as QGIS does when it opens a layer
        base.execute("PRAGMA journal_mode = WAL")
    assert Corrections(placed).set(1, "destroyed", "Ana").building == 1


def test_corrections_of_another_map_are_refused(folder):
    Corrections(folder).set(1, "destroyed", "Ana")
    summary = json.loads((folder / "summary.json").read_text())
    name = "buildings.gpkg" if "buildings.gpkg" in summary["files"] else "buildings.geojson"
    opened = Corrections(folder)
    summary["files"][name]["sha256"] = "0" * 64
    (folder / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(ConfigError, match="was made for another map than the one in"):
        Corrections(folder)
    with pytest.raises(ConfigError, match="another map was written there in the meantime"):
        opened.set(2, "destroyed", "Ana")


def test_a_class_that_a_gis_wrote_wrongly_is_told_by_its_row(picture):
    Corrections(picture).set(1, "destroyed", "Ana")
    with sqlite3.connect(picture / CORRECTIONS) as base:
        base.execute("UPDATE corrections SET new_class = 'flat'")
    with pytest.raises(ConfigError, match="correction 1 has new_class 'flat'; expected no-damage"):
        Corrections(picture).totals()


def test_a_damaged_file_is_told(picture):
    (picture / CORRECTIONS).write_bytes(b"not a database" * 100)
    with pytest.raises(ConfigError, match=r"corrections.gpkg: is damaged"):
        Corrections(picture)


def _sets(folder: Path, first: int, count: int) -> None:
    corrections = Corrections(folder)
    for building in range(first, first + count):
        corrections.set(building, "destroyed", f"writer {first}")


def test_processes_and_threads_write_at_once(picture):
    context = multiprocessing.get_context("fork")
    work = [context.Process(target=_sets, args=(picture, 10 * n, 10)) for n in range(3)]
    work += [threading.Thread(target=_sets, args=(picture, 10 * n, 10)) for n in range(3, 6)]
    for each in work:
        each.start()
    for each in work:
        each.join(60)
    found = Corrections(picture).all()
    assert sorted(each.building for each in found) == list(range(60))
    assert sorted(each.id for each in found) == list(range(1, 61))


def test_a_killed_process_leaves_a_whole_file(picture):
    code = (
        "import sys; from runtime.corrections import Corrections\n"
        "c = Corrections(sys.argv[1])\n"
        "while True:\n"
        "    for b in range(73): c.set(b, 'destroyed', 'Ana'); print(b, flush=True)\n"
    )
    for wait in (0.0, 0.013, 0.05):
        process = subprocess.Popen(
            [sys.executable, "-c", code, picture], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert process.stdout
        process.stdout.readline()
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert Corrections(picture).all()
        with sqlite3.connect(picture / CORRECTIONS) as base:
            assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            made = base.execute("SELECT count(*) FROM history").fetchone()[0]
            # Both are written by one transaction.
            told = base.execute("SELECT count(DISTINCT building) FROM history").fetchone()[0]
            assert len(Corrections(picture).all()) == told <= made


def test_a_picture_needs_no_geospatial_library(picture):
    code = (
        "import sys\n"
        "for name in ('rasterio', 'shapely', 'pyogrio'): sys.modules[name] = None\n"
        "from runtime.corrections import Corrections\n"
        "c = Corrections(sys.argv[1])\n"
        "c.set(3, 'destroyed', 'Ana'); c.add([(1, 1), (9, 1), (9, 9)], 'destroyed', 'Ana')\n"
        "print(c.totals()['destroyed'])\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, picture], capture_output=True, text=True, env=env
    )
    assert done.stdout == "18\n", done.stderr

"""Maps that were ended before their time, are made again, or are made twice at once."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.engine import Engine
from runtime.errors import BackendError, ConfigError, ImageError
from runtime.locks import alone_in
from runtime.mapping import map_pair
from runtime.options import MapOptions
from runtime.output.png import write_png
from tests.runtime.map_options import map_options

REPOSITORY = Path(__file__).parents[2]
OUTPUTS = {
    "damage.tif", "damage.tif.aux.xml", "damage.qml", "confidence.tif", "confidence.qml",
    "quality.tif", "quality.tif.aux.xml", "quality.qml",
    "buildings.gpkg", "buildings.geojson", "overlay.png", "summary.json",
}  # fmt: skip


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _start(engine_folder: Path, pre: Path, post: Path, out: Path, *more: str) -> subprocess.Popen:
    """The command, slowed down so that it can be killed half-way; each row is synced at once."""
    code = """
import runpy, sys, time
from runtime.engine import Engine
from runtime.scene import unfinished
unfinished.UNSYNCED_SECONDS = 0
predict = Engine.predict
def slow(*a, **k):
    time.sleep(0.02)
    return predict(*a, **k)
Engine.predict = slow
runpy.run_module("runtime.predict", run_name="__main__")
"""
    line = ["--engine", engine_folder, pre, post, "--out", out, "--threads", "1", *more]
    line = [sys.executable, "-c", code, *map(str, line)]
    return subprocess.Popen(line, cwd=REPOSITORY)


@pytest.mark.parametrize("known", [False, True])
def test_killed_and_resumed_ends_in_the_same_bytes(known, scene, engine_folder, tmp_path):
    pre, post, *_ = scene(300, 200)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    more: tuple[str, ...] = ()
    if known:  # rows of windows without any work among the others
        _squares(tmp_path / "footprints.geojson", 4, down=35)
        more = ("--footprints", str(tmp_path / "footprints.geojson"))
    assert _start(engine_folder, pre, post, whole, *more).wait(timeout=60) == 0
    process = _start(engine_folder, pre, post, cut, *more)
    journal = cut / ".unfinished" / "journal.json"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if journal.exists() and len(json.loads(journal.read_text())["heights"]) >= 3:
            break
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (cut / "summary.json").exists()
    done = len(json.loads(journal.read_text())["heights"])
    assert done >= 3
    assert _start(engine_folder, pre, post, cut, "--resume", *more).wait(timeout=60) == 0
    assert names(cut) == OUTPUTS
    for name in OUTPUTS:
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name
    before = (cut / "damage.tif").stat().st_mtime_ns
    assert _start(engine_folder, pre, post, cut, "--resume", *more).wait(timeout=60) == 0
    assert (cut / "damage.tif").stat().st_mtime_ns == before  # nothing is done twice


@pytest.mark.parametrize("name", ["damage.qml", "confidence.qml", "damage.tif.aux.xml"])
def test_a_file_beside_a_map_that_was_altered_is_made_again(scene, engine, tmp_path, name):
    pre, post, *_ = scene()
    out = tmp_path / "out"
    map_pair(engine, pre, post, out, map_options())
    whole = contents(out)
    for change in (lambda path: path.write_text("<qgis/>"), Path.unlink):
        change(out / name)
        map_pair(engine, pre, post, out, map_options(resume=True))
        assert contents(out) == whole


def test_what_a_gis_left_beside_a_map_goes_with_it(scene, engine, tmp_path):
    pre, post, *_ = scene()
    out = tmp_path / "out"
    map_pair(engine, pre, post, out, map_options())
    for name in ("confidence.tif.aux.xml", "damage.tif.ovr", "buildings.gpkg-wal"):
        (out / name).write_text("of the map before")
    (out / "mine.gpkg-wal").write_text("of another")
    map_pair(engine, pre, post, out, map_options(min_area=30))
    assert names(out) == {*OUTPUTS, "mine.gpkg-wal"}


def test_another_unfinished_map_is_not_gone_on_with(scene, engine, tmp_path, monkeypatch):
    pre, post, *_ = scene()
    out = tmp_path / "out"
    _begin(engine, pre, post, out, monkeypatch)
    with pytest.raises(ConfigError, match="unfinished map with another --halo; --restart"):
        map_pair(engine, pre, post, out, map_options(resume=True, halo=3))
    os.utime(post)
    with pytest.raises(ConfigError, match="unfinished map with another images; --restart"):
        map_pair(engine, pre, post, out, map_options(resume=True))
    map_pair(engine, pre, post, out, map_options(restart=True))
    assert names(out) == OUTPUTS


def test_unfinished_work_is_not_thrown_away_without_a_word(scene, engine, tmp_path, monkeypatch):
    pre, post, *_ = scene()
    out = tmp_path / "out"
    rows = _begin(engine, pre, post, out, monkeypatch)
    with pytest.raises(ConfigError, match="2 of 6 rows of windows are done; --resume goes on"):
        map_pair(engine, pre, post, out, map_options())
    assert (out / ".unfinished" / "journal.json").read_text() == rows
    (out / ".unfinished" / "journal.json").write_text("not JSON")
    with pytest.raises(ConfigError, match="journal.json: not JSON .* --restart throws it away"):
        map_pair(engine, pre, post, out, map_options())
    map_pair(engine, pre, post, out, map_options(restart=True))
    assert names(out) == OUTPUTS


def _begin(
    engine: Engine,
    pre: Path,
    post: Path,
    out: Path,
    monkeypatch,
    options: MapOptions = map_options(),  # noqa: B008 (frozen)
    windows: int = 8,
) -> str:
    """A run that ends after so many windows, in the third row if it is the whole scene's; its
    journal."""
    predict, left = Engine.predict, [windows]

    def ends(self, *images):
        left[0] -= 1
        if left[0] < 0:
            raise BackendError("the device is gone")
        return predict(self, *images)

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "predict", ends)
        with pytest.raises(BackendError):
            map_pair(engine, pre, post, out, options)
    return (out / ".unfinished" / "journal.json").read_text()


@pytest.fixture
def pictures(tmp_path, draw):
    """pre.png and post.png of 100x170."""
    paths = []
    for name, image in zip(("pre", "post"), draw(100, 170), strict=True):
        write_png(tmp_path / f"{name}.png", image)
        paths.append(tmp_path / f"{name}.png")
    return paths


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_an_unfinished_picture_is_gone_on_with(pictures, engine, tmp_path, monkeypatch):
    map_pair(engine, *pictures, tmp_path / "whole", map_options())
    _begin(engine, *pictures, tmp_path / "out", monkeypatch)
    seen = _counting(monkeypatch)
    summary = map_pair(engine, *pictures, tmp_path / "out", map_options(resume=True))
    assert 0 < len(seen) < summary["windows"]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def _counting(monkeypatch) -> list[int]:
    """Grows with each inference."""
    predict, seen = Engine.predict, []

    def counting(self, *images):
        seen.append(1)
        return predict(self, *images)

    monkeypatch.setattr(Engine, "predict", counting)
    return seen


@pytest.mark.parametrize("options", [{"min_area": 40}, {"min_area": 40, "raw_outlines": True}])
@pytest.mark.parametrize("kind", ["scene", "picture"])
def test_other_buildings_are_made_without_inference(
    kind, options, scene, pictures, engine, tmp_path, monkeypatch
):
    pair = pictures if kind == "picture" else scene()[:2]
    map_pair(engine, *pair, tmp_path / "whole", map_options(**options))
    out = tmp_path / "out"
    first = map_pair(engine, *pair, out, map_options())
    seen = _counting(monkeypatch)
    second = map_pair(engine, *pair, out, map_options(**options, resume=True))
    assert 0 < second["buildings"] < first["buildings"]
    assert not seen
    assert contents(out) == contents(tmp_path / "whole")
    assert not (out / ".unfinished").exists()


def test_what_reading_told_stays_with_the_maps(scene, write_raster, engine, tmp_path):
    pre, post, first, _ = scene()
    first[:, :60] = 0
    write_raster(pre, first)
    out = tmp_path / "out"
    told = map_pair(engine, pre, post, out, map_options())["notes"]
    assert any("is exactly 0, 0, 0 at its border" in note for note in told)
    again = map_pair(engine, pre, post, out, map_options(min_area=40, resume=True))
    assert again["notes"] == told


def test_footprints_that_changed_are_graded_again(scene, engine, tmp_path, monkeypatch):
    pre, post, *_ = scene()
    out, footprints = tmp_path / "out", tmp_path / "footprints.geojson"
    _squares(footprints, 2)
    options = map_options(footprints=footprints, whole_scene=True)
    assert map_pair(engine, pre, post, out, options)["buildings"] == 2
    _squares(footprints, 3)
    seen = _counting(monkeypatch)
    again = map_options(footprints=footprints, resume=True)  # of the whole scene that is there
    assert map_pair(engine, pre, post, out, again)["buildings"] == 3
    before = contents(out)
    assert map_pair(engine, pre, post, out, again)["windows_skipped"]["no_footprint"] == 0
    assert contents(out) == before
    found = map_pair(engine, pre, post, out, map_options(resume=True))
    assert found["footprints"] is None
    assert found["buildings"] > 3
    assert not seen


def test_windows_of_other_footprints_are_computed(scene, engine, tmp_path, monkeypatch):
    pre, post, *_ = scene()
    out, footprints = tmp_path / "out", tmp_path / "footprints.geojson"
    _squares(footprints, 2)
    again = map_options(footprints=footprints, resume=True)
    map_pair(engine, pre, post, out, again)
    seen = _counting(monkeypatch)
    map_pair(engine, pre, post, out, again)
    assert not seen
    _squares(footprints, 3)
    found = map_pair(engine, pre, post, out, again)
    assert len(seen) == found["windows_computed"] < found["windows"]
    map_pair(engine, pre, post, tmp_path / "whole", replace(again, resume=False))
    assert contents(out) == contents(tmp_path / "whole")


def test_known_windows_are_gone_on_with(scene, engine, tmp_path, monkeypatch):
    pre, post, *_ = scene(300, 200)
    footprints = tmp_path / "footprints.geojson"
    _squares(footprints, 4, down=35)
    options = map_options(footprints=footprints)
    whole = map_pair(engine, pre, post, tmp_path / "whole", options)
    _begin(engine, pre, post, tmp_path / "out", monkeypatch, options, 6)
    seen = _counting(monkeypatch)
    map_pair(engine, pre, post, tmp_path / "out", replace(options, resume=True))
    assert 0 < len(seen) < whole["windows_computed"]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    _begin(engine, pre, post, tmp_path / "new", monkeypatch, options, 6)
    with pytest.raises(ConfigError, match="unfinished map with another --footprints; --restart"):
        map_pair(engine, pre, post, tmp_path / "new", map_options(resume=True))
    # A finished map of the whole scene beside it changes nothing.
    both = tmp_path / "both"
    map_pair(engine, pre, post, both, map_options())
    _begin(engine, pre, post, both, monkeypatch, replace(options, restart=True), 6)
    map_pair(engine, pre, post, both, replace(options, resume=True))
    assert contents(both) == contents(tmp_path / "whole")


def _squares(path: Path, count: int, down: int = 0) -> None:
    def ring(x: float, y: float) -> list:
        return [[x, y], [x + 9, y], [x + 9, y - 9], [x, y - 9], [x, y]]

    features = [
        {
            "type": "Feature",
            "properties": {},
            "geometry": {
                "type": "Polygon",
                "coordinates": [ring(500_005 + 20 * i, 3_299_990 - down * i)],
            },
        }
        for i in range(count)
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32614"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))


def test_an_image_that_changes_meanwhile_makes_no_map(scene, engine, tmp_path, monkeypatch):
    pre, post, *_ = scene()
    out, predict, seen = tmp_path / "out", Engine.predict, []

    def changes(self, *images):
        seen.append(1)
        if len(seen) == 3:
            os.utime(post)
        return predict(self, *images)

    monkeypatch.setattr(Engine, "predict", changes)
    with pytest.raises(ImageError, match="post.tif: changed while it was mapped"):
        map_pair(engine, pre, post, out, map_options())
    assert not out.exists()


@pytest.mark.parametrize("name", ["pre.tfw", "post.tif.aux.xml", "pre.prj"])
def test_a_file_beside_an_image_is_a_part_of_it(name, scene, engine, tmp_path, monkeypatch):
    pre, post, *_ = scene()
    out = tmp_path / "out"
    _begin(engine, pre, post, out, monkeypatch)
    (tmp_path / name).write_text("<PAMDataset/>" if name.endswith(".xml") else "")
    with pytest.raises(ConfigError, match="unfinished map with another images"):
        map_pair(engine, pre, post, out, map_options(resume=True))


@pytest.mark.parametrize("harm", ["deleted", "altered"])
@pytest.mark.parametrize("name", sorted(OUTPUTS - {"summary.json"}))
def test_a_finished_map_with_a_harmed_file_is_not_done(
    name, harm, scene, engine, tmp_path, monkeypatch
):
    pre, post, *_ = scene()
    out = tmp_path / "out"
    map_pair(engine, pre, post, out, map_options())
    before = contents(out)
    if harm == "deleted":
        (out / name).unlink()
    else:
        (out / name).write_bytes(before[name][:-1] + b"x")
    seen = _counting(monkeypatch)
    map_pair(engine, pre, post, out, map_options(resume=True))
    assert contents(out) == before
    assert bool(seen) == name.endswith(".tif")  # only a map needs the engine


def test_files_of_an_earlier_map_do_not_stay_beside_the_new_one(scene, pictures, engine, tmp_path):
    out = tmp_path / "out"
    map_pair(engine, *pictures, out, map_options())
    (out / "notes.txt").write_text("mine")
    map_pair(engine, *scene()[:2], out, map_options())
    assert names(out) == {*OUTPUTS, "notes.txt"}


def test_two_runs_do_not_write_into_one_folder(scene, engine, engine_folder, tmp_path, python):
    pre, post, *_ = scene()
    out = tmp_path / "out"
    out.mkdir()
    with alone_in(out / ".unfinished", patience=0.0) as alone:
        assert alone
        with pytest.raises(ConfigError, match="out: another process is writing a map there"):
            map_pair(engine, pre, post, out, map_options())
        line = ("-m", "runtime.predict", "--engine", engine_folder, pre, post, "--out", out)
        result = python(*line, "--restart")
        assert result.returncode == 2
        assert "another process is writing" in result.stderr
    map_pair(engine, pre, post, out, map_options())
    assert names(out) == OUTPUTS


def test_two_commands_at_once_leave_one_whole_map(scene, engine_folder, tmp_path):
    pre, post, *_ = scene(200, 200)
    out = tmp_path / "out"
    assert _start(engine_folder, pre, post, tmp_path / "whole").wait(timeout=60) == 0
    processes = [_start(engine_folder, pre, post, out) for _ in range(3)]
    codes = sorted(process.wait(timeout=60) for process in processes)
    assert codes[0] == 0
    assert set(codes) <= {0, 2}
    assert 2 in codes
    for name in OUTPUTS:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name

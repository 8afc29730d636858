import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.files import write_json
from runtime.identity import of_files
from runtime.manifest import Manifest
from runtime.many.pairs import Pair
from runtime.many.sources import (
    SOURCES,
    ChangedError,
    Sources,
    differences,
    made_from,
    of_engine,
    stale,
)
from runtime.options import MapOptions
from runtime.source.sidecars import beside, renamed, sidecars


@pytest.fixture
def town(tmp_path):
    for name in ("town_pre.tif", "town_pre.tfw", "town_post.tif", "roads.geojson"):
        (tmp_path / name).write_text(f"content of {name}")
    return Pair("town", tmp_path / "town_pre.tif", tmp_path / "town_post.tif")


@pytest.fixture
def note(engine_folder):
    """The note of a pair with options, by the test's engine."""
    manifest = Manifest.read(engine_folder)
    return lambda pair, options: {
        **Sources.of(pair, options).note,
        "engine": of_engine(manifest),
    }


@pytest.fixture
def maps(tmp_path):
    """A folder of maps with this note."""

    def make(note, summary=None):
        folder = tmp_path / "maps"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        write_json(folder / "summary.json", summary or {})
        if note is not None:
            write_json(folder / SOURCES, note)
        return folder

    return make


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("a_pre.tfw", True),
        ("a_pre.TFW", True),
        ("a_pre.prj", True),
        ("a_pre.tif.aux.xml", True),
        ("a_pre.TIF.ovr", True),
        ("a_pre.tif.msk", True),
        ("a_pre.json", True),
        ("a_pre.tif", False),
        ("a_pre.png", False),
        ("a_pre-2.tfw", False),
        ("a_pre_disaster.tfw", False),
        ("a_post.tfw", False),
        ("a_pre.txt", False),
        ("a_pre.tif.part", False),
    ],
)
def test_what_lies_beside_an_image_and_belongs_to_it(file, expected):
    assert sidecars("a_pre.tif", ["a_pre.tif", file]) == ([file] if expected else [])


def test_a_sidecar_keeps_its_image_whatever_that_is_called():
    for name, new in {
        "a.tfw": "a-2.tfw",
        "a.tif.ovr": "a-2.tif.ovr",
        "a.TIF.aux.xml": None,
    }.items():
        moved = renamed(name, "a.tif", "a-2.tif")
        assert moved == (new or "a-2.tif.aux.xml")
        assert sidecars("a-2.tif", [moved]) == [moved]


def write_in_place(path: Path, content: bytes) -> None:
    """Other bytes, with the size, the times and the inode that were there."""
    status = path.stat()
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_writer_that_keeps_size_and_time_is_seen(town):
    sources = Sources.of(town, MapOptions())
    sources.check()
    before = town.pre.stat()
    write_in_place(town.pre, b"CONTENT")
    after = town.pre.stat()
    assert (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    with pytest.raises(ChangedError, match=r"town_pre\.tif: changed while it was mapped"):
        sources.check()


def test_a_disk_whose_stamps_say_nothing_is_read_again(town):
    """FAT has no time of any change, and rounds the others."""
    sources = Sources.of(town, MapOptions())
    write_in_place(town.post, b"CONTENT")
    blind = dataclasses.replace(sources, stamps=Sources.of(town, MapOptions()).stamps)
    with pytest.raises(ChangedError, match=r"town_post\.tif"):
        blind.check()


def test_a_file_that_was_another_one_for_a_while_is_seen(town):
    sources = Sources.of(town, MapOptions())
    content = town.pre.read_bytes()
    write_in_place(town.pre, b"CONTENT")
    write_in_place(town.pre, content)
    with pytest.raises(ChangedError):
        sources.check()


@pytest.mark.parametrize("name", ["town_pre.prj", "town_post.tif.aux.xml", "town_post.TFW"])
def test_a_sidecar_that_comes_late_is_a_change(town, name):
    sources = Sources.of(town, MapOptions())
    (town.pre.parent / name).write_text("late")
    with pytest.raises(ChangedError, match=name):
        sources.check()


def test_a_sidecar_that_goes_or_changes_is_a_change(town):
    world = beside(town.pre)[0]
    sources = Sources.of(town, MapOptions())
    world.unlink()
    with pytest.raises(ChangedError, match=r"town_pre\.tfw"):
        sources.check()


def test_footprints_that_change_meanwhile_are_a_change(town):
    options = MapOptions(footprints=town.pre.parent / "roads.geojson")
    sources = Sources.of(town, options)
    options.footprints.write_text("others")
    with pytest.raises(ChangedError, match="roads"):
        sources.check()


def test_the_same_differ_in_nothing_whatever_they_are_called(town, note, maps, tmp_path):
    folder = maps(note(town, MapOptions()))
    assert differences(folder, note(town, MapOptions())) == []
    moved = {}
    for path in (town.pre, *beside(town.pre), town.post):
        moved[path.name] = path.rename(tmp_path / path.name.replace("town", "other"))
    again = Pair("town", moved["town_pre.tif"], moved["town_post.tif"])
    assert differences(folder, note(again, MapOptions())) == []


CHANGES = {
    "pre": lambda pair: pair.pre.write_text("new"),
    "post": lambda pair: pair.post.write_text("new"),
    "pre, sidecar": lambda pair: beside(pair.pre)[0].write_text("new"),
    "post, new sidecar": lambda pair: pair.post.with_suffix(".tfw").write_text("new"),
    "pre, no sidecar": lambda pair: beside(pair.pre)[0].unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_image_or_another_sidecar_is_named(town, note, maps, change):
    folder = maps(note(town, MapOptions()))
    CHANGES[change](town)
    expected = "image before" if change.startswith("pre") else "image after"
    assert differences(folder, note(town, MapOptions())) == [expected]


OPTIONS = {
    "min_area": st.integers(1, 50),
    "align": st.booleans(),
    "scale": st.none() | st.tuples(st.floats(0, 10), st.floats(11, 99)),
    "halo": st.none() | st.integers(0, 64),
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.fixed_dictionaries({}, optional=OPTIONS), st.fixed_dictionaries({}, optional=OPTIONS))
def test_the_options_that_differ_are_named_and_no_others(town, note, maps, first, second):
    first, second = MapOptions(**first), MapOptions(**second)
    folder = maps(note(town, first))
    expected = [
        f"--{each.name.replace('_', '-')}"
        for each in sorted(dataclasses.fields(MapOptions), key=lambda each: each.name)
        if getattr(first, each.name) != getattr(second, each.name)
    ]
    assert differences(folder, note(town, second)) == expected


def test_every_option_that_makes_other_maps_is_a_part_of_the_note(town, note):
    names = {each.name for each in dataclasses.fields(MapOptions)}
    assert set(note(town, MapOptions())["options"]) == names - {"resume", "restart"}
    # What is no JSON number is kept as well.
    folder_free = Sources.of(town, MapOptions(scale=(0.0, float("inf")))).note["options"]
    assert json.loads(json.dumps(folder_free, allow_nan=False)) == folder_free


def test_footprints_are_known_by_their_content_with_all_their_parts(town, note, maps, tmp_path):
    for suffix in (".shp", ".dbf", ".prj"):
        (tmp_path / f"houses{suffix}").write_text(suffix)
    options = MapOptions(footprints=tmp_path / "houses.shp")
    folder = maps(note(town, options))
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in tmp_path.glob("houses.*"):
        shutil.copy(path, copy)
    moved = MapOptions(footprints=copy / "houses.shp")
    assert differences(folder, note(town, moved)) == []
    (copy / "houses.prj").write_text("another ground")
    assert differences(folder, note(town, moved)) == ["--footprints"]
    assert differences(folder, note(town, MapOptions())) == ["--footprints"]


def test_another_engine_is_named_also_where_only_the_summary_says_so(town, note, maps):
    now = note(town, MapOptions())
    other = json.loads(json.dumps(now))
    other["engine"]["payload_sha256"] = ["0" * 64]
    assert differences(maps(other), now) == ["engine"]
    # Maps of an earlier release: the note has the images alone.
    early = {role: now[role] for role in ("pre", "post")}
    engine = {key: now["engine"][key] for key in ("graph_sha256", "checkpoint_sha256", "precision")}
    same = {"engine": engine, "min_area_px": 1}
    assert differences(maps(early, same), now) == []
    assert differences(maps(early, {**same, "min_area_px": 5}), now) == ["--min-area"]
    another = {**same, "engine": {**engine, "graph_sha256": "0" * 64}}
    assert differences(maps(early, another), now) == ["engine"]


@pytest.mark.parametrize("text", [None, "{", "[]", '{"pre": 3}', '{"pre": {"sidecars": 7}}'])
def test_what_nobody_can_tell_is_another(town, note, maps, text):
    now = note(town, MapOptions())
    folder = maps(None)
    if text is not None:
        (folder / SOURCES).write_text(text)
    assert differences(folder, now)[:2] == ["image before", "image after"]
    assert not made_from(folder, "pre", town.pre)


@pytest.fixture
def finished(maps, note, town, tmp_path):
    """A folder of maps as `map_pair` leaves it, with one file of the maps."""
    folder = maps(note(town, MapOptions()))
    (folder / "damage.png").write_text("pixels")
    summary = {"pre": "a", "post": "b", "height": 1, "width": 1, "engine": {}, "failed_tiles": []}
    write_json(folder / "summary.json", {**summary, "files": of_files([folder / "damage.png"])})
    return folder


DAMAGE = {
    "no summary": lambda folder: (folder / "summary.json").write_bytes(b""),
    "cut": lambda folder: (folder / "summary.json").write_text('{"pre": "a", '),
    "no key": lambda folder: (folder / "summary.json").write_text("{}"),
    "zeros": lambda folder: (folder / "summary.json").write_bytes(bytes(400)),
    "no tiles": lambda folder: (folder / "summary.json").write_text(
        (folder / "summary.json").read_text().replace("failed_tiles", "failed_files")
    ),
    "gone": lambda folder: (folder / "damage.png").unlink(),
    "altered": lambda folder: (folder / "damage.png").write_text("PIXELS"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_maps_that_are_not_as_they_were_written_are_stale(finished, note, town, damage):
    now = note(town, MapOptions())
    assert stale(finished, now) is None
    DAMAGE[damage](finished)
    found = stale(finished, now)
    assert not found.of_other_images
    expected = {"gone": "damage.png is missing", "altered": "damage.png is altered"}
    assert found.line.startswith(f"the maps in {finished} are damaged: ")
    assert expected.get(damage, "summary.json is no summary of a map") in found.line


def test_maps_of_a_release_that_listed_no_files_are_believed(finished, note, town):
    content = json.loads((finished / "summary.json").read_text())
    del content["files"], content["failed_tiles"]
    write_json(finished / "summary.json", content)
    (finished / "damage.png").unlink()
    assert stale(finished, note(town, MapOptions())) is None

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from runtime.errors import ConfigError, EngineError
from runtime.files import sha256
from runtime.many.outbox import clear, counted, holding, is_done, map_once
from runtime.many.pairs import Pair
from runtime.options import MapOptions


@pytest.fixture
def town(tmp_path, pair):
    """A pair of files."""
    for role, image in zip(("pre", "post"), pair, strict=True):
        Image.fromarray(image).save(tmp_path / f"{role}.png")
    return Pair("town", tmp_path / "pre.png", tmp_path / "post.png")


@pytest.fixture
def outbox(tmp_path):
    with holding(tmp_path / "outbox"):
        yield tmp_path / "outbox"


def visible(outbox):
    return [each.name for each in outbox.iterdir() if each.name[0] != "."]


def test_a_pair_is_mapped_once_and_says_what_it_was_made_from(engine, town, outbox):
    assert not is_done(outbox, "town")
    assert map_once(engine, town, outbox, MapOptions()) is None
    assert is_done(outbox, "town")
    assert list((outbox / ".working").iterdir()) == []
    sources = json.loads((outbox / "town" / "sources.json").read_text())
    for role, path in (("pre", town.pre), ("post", town.post)):
        expected = {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}
        assert sources[role] == expected
    before = (outbox / "town").stat()
    assert map_once(engine, town, outbox, MapOptions()) is None
    assert (outbox / "town").stat() == before


def test_a_pair_without_a_known_pixel_is_the_pairs_fault(engine, town, outbox):
    Image.new("RGB", (48, 32)).save(town.post)
    why = map_once(engine, town, outbox, MapOptions(nodata=(None, 0.0)))
    assert f"{town.post}: not one pixel is known: every pixel of it is what --nodata says" in why
    assert not is_done(outbox, "town")


def test_a_folder_that_is_not_ours_is_left_as_it_is(engine, town, outbox):
    (outbox / "town").mkdir()
    (outbox / "town" / "notes.txt").write_text("mine")
    why = map_once(engine, town, outbox, MapOptions())
    assert "town: is there without summary.json, not made by us; move it away" in why
    assert [each.name for each in (outbox / "town").iterdir()] == ["notes.txt"]
    (outbox / "town" / "notes.txt").unlink()
    assert map_once(engine, town, outbox, MapOptions()) is None  # an empty one is no one's


def test_what_a_killed_process_left_disturbs_nothing(engine, town, outbox):
    maps = outbox / ".working" / "town" / "maps"
    maps.mkdir(parents=True)
    (maps / "damage.png").write_text("half")
    (maps / "summary.json").write_text("{")
    assert map_once(engine, town, outbox, MapOptions()) is None
    Image.open(outbox / "town" / "damage.png").verify()
    assert json.loads((outbox / "town" / "summary.json").read_text())["height"] == 32


def test_only_unfinished_rasters_of_pairs_to_come_are_kept(outbox):
    working = outbox / ".working"
    for place in ("a/maps/.unfinished", "b/maps/.unfinished", "c/maps"):
        (working / place).mkdir(parents=True)
    for name in "abc":
        (working / f".{name}.begun").write_text(".")
    clear(outbox, {"a", "c"})
    assert {each.name for each in working.iterdir()} == {"a", ".a.begun", ".c.begun"}
    clear(outbox)
    assert {each.name for each in working.iterdir()} == {"a"}


def test_what_was_begun_and_not_ended_is_counted(outbox):
    for times in (1, 1):
        with counted(outbox, "town") as begun:
            assert begun == times
    with pytest.raises(KeyError), counted(outbox, "town"):
        raise KeyError  # an error ends it, too
    (outbox / ".working" / ".town.begun").write_text("..")  # of processes that died
    with counted(outbox, "town") as begun:
        assert begun == 3


def test_a_defect_is_told_with_its_place(town, outbox):
    why = map_once(None, town, outbox, MapOptions())
    assert why.startswith("town: unexpected AttributeError at work.py:")
    assert visible(outbox) == []


def test_what_is_not_the_pairs_fault_is_raised(engine, town, outbox):
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        map_once(engine, town, outbox, MapOptions())
    (outbox / ".working").rmdir()
    with pytest.raises(OSError, match="No such file"):
        map_once(engine, town, outbox, MapOptions())
    assert visible(outbox) == []
    (outbox / ".working").mkdir()


def test_one_process_holds_it(outbox):
    with pytest.raises(ConfigError, match="another batch or watch is writing there"):
        holding(outbox).__enter__()


def test_a_pair_that_another_process_is_at_is_waited_for(engine, town, outbox, python, tmp_path):
    code = f"""
import time
from pathlib import Path
from runtime.locks import alone_in
with alone_in(Path({str(outbox / ".working" / "town")!r}), 0.0):
    Path({str(tmp_path / "held")!r}).touch()
    time.sleep(0.5)
    Path({str(tmp_path / "left")!r}).touch()
"""
    with ThreadPoolExecutor() as pool:
        other = pool.submit(python, "-c", code)
        while not (tmp_path / "held").exists():
            assert not other.done(), other.result().stderr
        clear(outbox)  # takes nothing away from it
        assert (outbox / ".working" / "town").exists()
        assert map_once(engine, town, outbox, MapOptions()) is None
        assert (tmp_path / "left").exists()
    assert is_done(outbox, "town")


def test_maps_are_replaced_where_the_system_cannot_exchange_folders(tmp_path, monkeypatch):
    from runtime.many import exchange

    for can in (True, False):
        if not can:
            monkeypatch.setattr(exchange, "_exchanged", lambda new, old: False)
        for name in ("new", "old"):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / name).touch()
        exchange.replace_folder(tmp_path / "new", tmp_path / "old")
        assert [each.name for each in tmp_path.iterdir()] == ["old"]
        assert [each.name for each in (tmp_path / "old").iterdir()] == ["new"]
        (tmp_path / "old" / "new").unlink()


def test_no_memory_is_no_fault_of_the_pair_however_a_library_says_it():
    import cv2

    from runtime.errors import ImageError
    from runtime.many.memory import out_of_memory

    full = cv2.error("Insufficient memory")
    full.code = -4
    for cause in (MemoryError(), full, OSError(12, "Cannot allocate memory")):
        error = ImageError("a.png: cannot be decoded")
        error.__cause__ = cause
        assert out_of_memory(error)
    assert not out_of_memory(ImageError("a.png: cannot be decoded"))


def test_an_option_file_that_is_gone_is_no_pairs_fault(engine, town, outbox, tmp_path):
    options = MapOptions(footprints=tmp_path / "gone.gpkg")
    with pytest.raises(FileNotFoundError, match=r"gone\.gpkg"):
        map_once(engine, town, outbox, options)


@pytest.mark.parametrize("as_what", ["copy", "hard link", "link"])
def test_one_image_under_two_names_is_no_pair(engine, town, outbox, as_what):
    content = town.pre.read_bytes()
    town.post.unlink()
    if as_what == "copy":
        town.post.write_bytes(content)
    elif as_what == "link":
        town.post.symlink_to("pre.png")
    else:
        town.post.hardlink_to(town.pre)
    why = map_once(engine, town, outbox, MapOptions())
    assert why.startswith(f"town: {town.pre} and {town.post} are the same image; expected one ")
    assert visible(outbox) == []


def test_a_link_in_the_way_of_maps_is_named_and_left(engine, town, outbox, tmp_path):
    target = outbox / "town"
    target.symlink_to(tmp_path / "gone")
    why = map_once(engine, town, outbox, MapOptions())
    assert why.startswith(f"{target}: is a link that leads nowhere, with no summary.json, not made")
    (tmp_path / "gone").mkdir()
    why = map_once(engine, town, outbox, MapOptions())
    assert why.startswith(f"{target}: is a link to what has no summary.json, not made by us; move")
    assert target.is_symlink()
    assert list((tmp_path / "gone").iterdir()) == []


@pytest.mark.parametrize("points_to", ["gone", "loop"])
def test_an_outbox_that_is_a_link_to_nothing_is_refused(tmp_path, points_to):
    (tmp_path / "loop").symlink_to(points_to)
    with pytest.raises(ConfigError, match="loop: is a link that leads nowhere; expected a folder"):
        holding(tmp_path / "loop").__enter__()


def test_an_image_that_is_a_link_in_a_circle_is_the_pairs_fault(engine, town, outbox):
    town.post.unlink()
    town.post.symlink_to("post.png")
    assert "post.png: " in map_once(engine, town, outbox, MapOptions())
    assert visible(outbox) == []

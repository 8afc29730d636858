import json
import os
import random
import resource
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtime import cli
from runtime.engine import load_engine
from runtime.errors import ConfigError
from runtime.many.health import Health, percentile
from runtime.many.inbox import Inbox
from runtime.many.lasting import Reopened, Stop
from runtime.many.outbox import holding
from runtime.many.watching import Watch
from runtime.mapping import map_pair
from runtime.options import MapOptions
from tests.runtime.many.waiting import health, wait_for

UNLIMITED = resource.RLIM_INFINITY


def folders(outbox: Path) -> set[str]:
    if not outbox.exists():
        return set()
    return {each.name for each in outbox.iterdir() if each.is_dir() and each.name[0] != "."}


def maps(outbox: Path) -> dict[str, int]:
    """The folders of maps, each whole, and their inodes."""
    found = {name: outbox / name for name in folders(outbox)}
    for name, folder in found.items():
        assert {each.name for each in folder.iterdir()} == {
            "damage.png",
            "building.png",
            "confidence.png",
            "quality.png",
            "overlay.png",
            "buildings.geojson",
            "summary.json",
            "sources.json",
        }
        assert json.loads((folder / "summary.json").read_text())["pre"].endswith(f"{name}_pre.png")
        json.loads((folder / "buildings.geojson").read_text())
        for each in folder.glob("*.png"):
            Image.open(each).verify()
    return {name: folder.stat().st_ino for name, folder in found.items()}


def names_in(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def assert_all_done(inbox, outbox, names):
    """These pairs and no others are done, and nothing is left over."""
    assert set(maps(outbox)) == set(names)
    assert names_in(outbox) == {*names, "health.json", ".lock"}
    images = {f"{name}_{role}.png" for name in names for role in ("pre", "post")}
    assert names_in(inbox / "done") == images
    assert names_in(inbox) == {"done", "failed"}
    assert names_in(inbox / "failed") == set()


def test_pairs_are_mapped_and_their_images_put_away(once, arrive, boxes, capsys, tmp_path):
    arrive("a", "b")
    arrive("xbd_00000001", extension="tif")
    for image in boxes[0].glob("xbd*"):
        image.rename(image.with_name(f"{image.stem}_disaster.tif"))
    assert once() == 0
    assert {"a", "b", "xbd_00000001"} <= names_in(boxes[1])
    assert len(names_in(boxes[0] / "done")) == 6
    assert names_in(boxes[0]) == {"done", "failed"}
    told = health(boxes[1])
    assert (told["done"], told["failed"], told["waiting"]) == (3, 0, 0)
    assert (told["state"], told["trouble"], told["last_error"]) == ("stopped", None, None)
    assert told["pid"] == os.getpid()
    assert told["engine"] == str(tmp_path / "engine")
    latency = told["latency_ms"]
    assert latency["pairs"] == 3
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"]
    assert capsys.readouterr().err == ""


def test_images_that_miss_their_counterpart_and_names_in_progress_are_left(once, arrive, boxes):
    arrive("a", roles=("pre",))
    arrive("b", "c", "d")
    (boxes[0] / "b_post.png").rename(boxes[0] / "b_post.png.partial")
    (boxes[0] / "c_post.png").rename(boxes[0] / "c_post.png.tmp")
    (boxes[0] / "d_post.png").rename(boxes[0] / ".d_post.png")
    (boxes[0] / "notes.txt").write_text("mine")
    before = names_in(boxes[0])
    assert once() == 0
    assert names_in(boxes[0]) == before | {"done", "failed"}
    assert maps(boxes[1]) == {}
    assert health(boxes[1])["waiting"] == 4


def test_a_file_that_grows_is_left_until_it_is_complete(start, arrive, boxes):
    arrive("a")
    path = boxes[0] / "a_post.png"
    content = path.read_bytes()
    path.write_bytes(b"")
    process = start("--settle", 0.6)
    for end in range(0, len(content), len(content) // 8):
        path.write_bytes(content[:end])
        time.sleep(0.2)
        assert not (boxes[1] / "a").exists()
    path.write_bytes(content)
    wait_for(lambda: (boxes[0] / "done" / "a_post.png").exists())
    assert process.poll() is None
    assert set(maps(boxes[1])) == {"a"}
    assert names_in(boxes[0] / "failed") == set()


def test_bad_pairs_go_to_failed_with_their_reason_and_the_watch_goes_on(start, arrive, boxes, pair):
    arrive("a-cut", "b-empty", "c-text", "d-small", "e-twice", "f-good")
    inbox = boxes[0]
    whole = (inbox / "a-cut_post.png").read_bytes()
    (inbox / "a-cut_post.png").write_bytes(whole[:-40])
    (inbox / "b-empty_pre.png").write_bytes(b"")
    (inbox / "c-text_pre.png").write_text("no image")
    Image.fromarray(pair[1][:16]).save(inbox / "d-small_post.png")
    (inbox / "e-twice_pre.jpg").write_bytes((inbox / "e-twice_pre.png").read_bytes())
    process = start()
    wait_for(lambda: health(boxes[1]).get("failed") == 5 and health(boxes[1])["done"] == 1)
    for name, reason in {
        "a-cut": "a-cut_post.png: a PNG that is truncated",
        "b-empty": "b-empty_pre.png: empty",
        "c-text": "c-text_pre.png: not an image in a known format",
        "d-small": "d-small_post.png: 16x48, but",
        "e-twice": "e-twice: expected one image before and one after, found ",
    }.items():
        folder = inbox / "failed" / name
        [line] = (folder / "reason.txt").read_text().splitlines()
        assert reason in line
        assert {f"{name}_pre.png", f"{name}_post.png"} < names_in(folder)
    assert names_in(inbox) == {"done", "failed"}
    told = health(boxes[1])
    assert told["last_error"]
    assert told["trouble"] is None

    (inbox / "a-cut_post.png").write_bytes(whole)  # sent again, now well
    (inbox / "failed" / "a-cut" / "a-cut_pre.png").rename(inbox / "a-cut_pre.png")
    wait_for(lambda: health(boxes[1])["done"] == 2)
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 0
    assert stdout == ""
    assert len(stderr.splitlines()) == 5
    assert set(maps(boxes[1])) == {"a-cut", "f-good"}


def test_a_pair_without_a_known_pixel_goes_to_failed(once, arrive, boxes):
    arrive("town")
    black = boxes[0] / "town_post.png"
    Image.new("RGB", (48, 32)).save(black)
    assert once("--nodata", "none", "--nodata", "0") == 1
    reason = (boxes[0] / "failed" / "town" / "reason.txt").read_text()
    assert "town_post.png: not one pixel is known: every pixel of it is what --nodata" in reason


def test_a_bad_pair_of_the_same_name_replaces_no_earlier_one(once, arrive, boxes):
    for _ in range(2):
        arrive("a", roles=("pre",))
        (boxes[0] / "a_post.png").write_text("no image")
        assert once() == 1
    assert names_in(boxes[0] / "failed") == {"a", "a-2"}


def test_another_pair_of_a_name_that_is_done_is_not_taken_for_it(once, arrive, boxes, pair):
    arrive("a")
    assert once() == 0
    before = maps(boxes[1])
    for role, image in zip(("pre", "post"), pair, strict=True):
        Image.fromarray(image[::-1].copy()).save(boxes[0] / f"a_{role}.png")
    assert once() == 1
    assert maps(boxes[1]) == before
    reason = (boxes[0] / "failed" / "a" / "reason.txt").read_text()
    assert "another pair of this name was mapped before" in reason
    assert names_in(boxes[0] / "failed" / "a") == {"a_pre.png", "a_post.png", "reason.txt"}


def test_images_of_maps_that_are_there_are_only_put_away(once, arrive, boxes):
    arrive("a", "b")
    assert once() == 0
    before = maps(boxes[1])
    done = boxes[0] / "done"
    for image in ("a_pre.png", "a_post.png", "b_post.png"):  # killed before it could move them
        (done / image).rename(boxes[0] / image)
    assert once() == 0
    assert maps(boxes[1]) == before
    assert_all_done(*boxes, ["a", "b"])


def test_a_bad_pair_that_was_half_moved_is_whole_again(once, arrive, boxes):
    arrive("a")
    moving = boxes[0] / "failed" / ".moving.a"
    moving.mkdir(parents=True)
    (moving / "reason.txt").write_text("something\n")
    (boxes[0] / "a_pre.png").rename(moving / "a_pre.png")
    assert once() == 0
    assert_all_done(*boxes, ["a"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_it_finishes_the_pair_and_exits_with_0(start, arrive, boxes, number):
    names = [f"p{each:02}" for each in range(30)]
    arrive(*names)
    process = start()
    wait_for(lambda: boxes[1].exists() and len(names_in(boxes[1])) > 5)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout, stderr) == (0, "", "")
    told = health(boxes[1])
    done = maps(boxes[1])
    assert told["state"] == "stopped"
    assert told["done"] == len(done)
    assert len(names_in(boxes[0] / "done")) == 2 * len(done)
    assert 2 * len(done) + len(list(boxes[0].glob("*.png"))) == 60
    assert ".working" not in names_in(boxes[1])


def small_files_only():
    """Like a full disk: writing past 1 kB of any file fails, until the limit is lifted."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, UNLIMITED))


def test_a_full_disk_is_not_the_pairs_fault(start, arrive, boxes):
    arrive("a", "b")
    process = start(preexec_fn=small_files_only)
    wait_for(lambda: health(boxes[1]).get("state") == "trouble")
    told = health(boxes[1])
    assert "File too large" in told["trouble"]
    assert told["waiting"] == 2
    assert maps(boxes[1]) == {}
    assert {"a_pre.png", "a_post.png", "b_pre.png", "b_post.png"} <= names_in(boxes[0])
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (UNLIMITED, UNLIMITED))
    wait_for(lambda: health(boxes[1])["done"] == 2)
    assert health(boxes[1])["trouble"] is None
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0
    [line] = stderr.splitlines()  # told once, however often it was tried
    assert line.startswith("error: ")
    assert "File too large; no pair is lost, trying again" in line
    assert_all_done(*boxes, ["a", "b"])


def test_a_full_disk_ends_a_single_round_in_one_line(start, arrive, boxes):
    arrive("a")
    process = start("--once", preexec_fn=small_files_only)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 1
    [line] = stderr.splitlines()
    assert line.startswith("error: ")
    assert "File too large" in line
    assert {"a_pre.png", "a_post.png"} <= names_in(boxes[0])


def test_an_outbox_that_cannot_be_written_is_refused_at_once(start, arrive, boxes):
    arrive("a")
    boxes[1].write_text("a file")
    for outbox, message in (
        (boxes[1], "outbox: is a file; expected a folder, or a new name"),
        (boxes[1] / "below", "Not a directory"),
        ("/proc/maps", "/proc/maps: No such file or directory"),
    ):
        process = start(outbox=outbox)
        _, stderr = process.communicate(timeout=30)
        assert process.returncode != 0
        [line] = stderr.splitlines()
        assert line.startswith("error: ")
        assert message in line
    assert {"a_pre.png", "a_post.png"} <= names_in(boxes[0])


def test_a_second_watch_on_the_outbox_is_refused(start, once, boxes):
    process = start()
    wait_for(lambda: health(boxes[1]).get("state") == "running")
    with pytest.raises(ConfigError, match="outbox: another batch or watch is writing there"):
        once()
    assert process.poll() is None


def test_options_that_cannot_be_used_are_refused(once, boxes, tmp_path):
    with pytest.raises(ConfigError, match=r"--settle is -1.0; expected 0.0 to 86400 seconds"):
        once("--settle", -1)
    with pytest.raises(ConfigError, match="--heartbeat is nan"):
        once("--heartbeat", "nan")
    with pytest.raises(ConfigError, match="none: not a folder; expected the folder where pairs"):
        once(inbox=tmp_path / "none")
    with pytest.raises(ConfigError, match="inbox: is the inbox; expected another folder"):
        once(outbox=boxes[0])
    assert not boxes[1].exists()


def test_the_health_file_is_renewed_while_nothing_arrives(start, boxes):
    start("--heartbeat", 0.05)
    first = wait_for(lambda: health(boxes[1]))
    later = wait_for(lambda: (now := health(boxes[1]))["updated"] > first["updated"] and now)
    assert later["started"] == first["started"]
    assert later["latency_ms"] == {"pairs": 0, "p50": None, "p90": None, "p99": None}


def test_percentiles_are_by_nearest_rank():
    hundred = [float(each) for each in range(1, 101)]
    assert [percentile(hundred, each) for each in (50, 90, 99)] == [50, 90, 99]
    assert [percentile([1.0, 2.0, 3.0], each) for each in (50, 90, 99)] == [2, 3, 3]


def check_killed_watches(start, arrive, boxes, lives, each):
    """Pairs arrive while the watch is killed again and again: every pair is done once."""
    rng = random.Random(4)
    seen, names, mid_pair = {}, [], 0
    for life in range(lives):
        fresh = [f"p{life:02}-{number}" for number in range(each)]
        names += fresh
        arrive(*fresh)
        process = start()
        wanted = min(len(seen) + rng.randrange(2 * each), len(names))
        wait_for(lambda wanted=wanted: len(folders(boxes[1])) >= wanted)
        time.sleep(0.1 * rng.random())
        process.kill()
        process.wait()
        working = boxes[1] / ".working"
        mid_pair += working.exists() and any(working.iterdir())
        for name, inode in maps(boxes[1]).items():  # maps are whole at any time
            assert seen.setdefault(name, inode) == inode, f"{name} was mapped twice"
    left = len(names) - len(seen)
    process = start("--once")
    _, stderr = process.communicate(timeout=100)
    going_on = "1 of 1 rows of windows are done, going on"  # of a pair that was killed at its end
    assert process.returncode == 0
    assert set(stderr.splitlines()) <= {going_on}
    final = maps(boxes[1])
    assert {name: final[name] for name in seen} == seen
    assert_all_done(*boxes, names)
    print(f"{len(names)} pairs, {lives} kills: {mid_pair} within a pair, {left} left for the last")


def test_killed_watches_do_every_pair_once(start, arrive, boxes):
    check_killed_watches(start, arrive, boxes, lives=3, each=4)


@pytest.mark.slow
def test_100_pairs_and_20_kills(start, arrive, boxes):
    check_killed_watches(start, arrive, boxes, lives=20, each=5)


def test_an_engine_that_fails_is_loaded_again_and_no_pair_is_lost(
    engine_folder, arrive, boxes, capsys
):
    arrive("a")
    stop = Stop()
    engine = Reopened(engine_folder, 1)
    engine.get().close()  # what a lost GPU does to it
    with holding(boxes[1]), Health(boxes[1], engine_folder, 30, cli.note) as told:
        inbox = Inbox(boxes[0], 0.0)
        watch = Watch(engine, inbox, boxes[1], MapOptions(), told, stop, cli.note)

        def stop_after_the_pair():
            wait_for(lambda: (boxes[0] / "done" / "a_post.png").exists())
            stop.ask()

        ask = threading.Thread(target=stop_after_the_pair)
        ask.start()
        assert watch.forever(0.01) == 0
        ask.join()
    [line] = capsys.readouterr().err.splitlines()
    assert "the engine is closed" in line
    assert "no pair is lost, trying again" in line
    assert_all_done(*boxes, ["a"])


def test_a_pair_that_always_ends_the_process_is_sent_away(once, arrive, boxes):
    arrive("a", "b")
    (boxes[1] / ".working").mkdir(parents=True)
    (boxes[1] / ".working" / ".a.begun").write_text(10 * ".")
    (boxes[1] / ".working" / ".b.begun").write_text(9 * ".")
    assert once() == 1
    reason = (boxes[0] / "failed" / "a" / "reason.txt").read_text()
    assert reason == "a: the process died 10 times in a row while it mapped it\n"
    assert set(maps(boxes[1])) == {"b"}


def test_a_raster_whose_watch_was_killed_goes_on(start, boxes, engine_folder, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    pixels = np.random.default_rng(1).integers(0, 255, (3, 500, 300), dtype=np.uint8)
    for role in ("pre", "post"):
        path = boxes[0] / f"scene_{role}.tif"
        with rasterio.open(
            path, "w", driver="GTiff", height=500, width=300, count=3, dtype="uint8",
            crs="EPSG:32614", transform=rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 3_300_000),
        ) as file:  # fmt: skip
            file.write(pixels if role == "pre" else pixels[:, ::-1])
    with load_engine(engine_folder, 1) as engine:
        images = [boxes[0] / f"scene_{role}.tif" for role in ("pre", "post")]
        map_pair(engine, *images, tmp_path / "whole", MapOptions())
    journal = boxes[1] / ".working" / "scene" / "maps" / ".unfinished" / "journal.json"
    process = start(synced=True)
    wait_for(lambda: journal.exists() and len(json.loads(journal.read_text())["heights"]) >= 3)
    process.kill()
    process.wait()
    assert folders(boxes[1]) == set()
    process = start("--once")
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    [line] = stderr.splitlines()
    assert "rows of windows are done, going on" in line
    assert names_in(boxes[1] / "scene") == names_in(tmp_path / "whole") | {"sources.json"}
    for name in ("damage.tif", "confidence.tif"):
        folders_of_both = (boxes[1] / "scene", tmp_path / "whole")
        found, expected = (rasterio.open(each / name).read() for each in folders_of_both)
        np.testing.assert_array_equal(found, expected)
    assert names_in(boxes[0] / "done") == {"scene_pre.tif", "scene_post.tif"}
    assert names_in(boxes[1]) == {"scene", "health.json", ".lock"}

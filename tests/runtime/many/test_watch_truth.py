"""A map is of the images that its note names, whole, or it says what it is not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtime.errors import BackendError, ConfigError
from runtime.files import sha256
from runtime.many import trying, watching
from runtime.many.health import Health
from runtime.many.inbox import Inbox
from runtime.many.lasting import Reopened, Stop
from runtime.many.outbox import holding, is_unfinished, map_once
from runtime.many.pairs import Pair
from runtime.many.watching import Watch
from runtime.many.writers import is_being_written
from runtime.mapping import map_pair
from runtime.options import MapOptions
from tests.runtime.many.waiting import health, wait_for


def names_in(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()} if folder.exists() else set()


def note_of(folder: Path) -> dict:
    return json.loads((folder / "sources.json").read_text())


def turned(path: Path) -> None:
    with Image.open(path) as image:
        image.rotate(180).save(path)


def replaced(path: Path) -> None:
    """As a careful sender does it: another file takes the name, with the old times."""
    other = path.with_name(".other.png")
    status = path.stat()
    with Image.open(path) as image:
        image.rotate(180).save(other)
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)


def first_time(action):
    """A function that does it when it is called first."""
    left = [action]
    return lambda: left.pop()() if left else None


@pytest.fixture
def scene():
    return np.random.default_rng(1).integers(0, 255, (3, 200, 160), dtype=np.uint8)


@pytest.fixture
def rasters(boxes, write_raster, scene):
    """A pair of rasters in the inbox; the paths."""
    paths = [boxes[0] / f"scene_{role}.tif" for role in ("pre", "post")]
    write_raster(paths[0], scene)
    write_raster(paths[1], scene[:, ::-1].copy())
    return paths


@pytest.mark.parametrize("change", [turned, replaced])
def test_an_image_replaced_while_it_is_mapped_is_mapped_as_it_is_now(
    once, arrive, boxes, engine, happening, tmp_path, capsys, change
):
    arrive("a")
    images = [boxes[0] / f"a_{role}.png" for role in ("pre", "post")]
    happening(first_time(lambda: change(images[1])))
    assert once() == 0
    assert "a_post.png: changed while it was mapped" in capsys.readouterr().err
    images = [boxes[0] / "done" / path.name for path in images]
    map_pair(engine, *images, tmp_path / "right", MapOptions())
    right = (tmp_path / "right" / "damage.png").read_bytes()
    assert (boxes[1] / "a" / "damage.png").read_bytes() == right
    assert note_of(boxes[1] / "a")["post"]["sha256"] == sha256(images[1])


def test_an_image_that_never_rests_stays_in_the_inbox_with_exit_code_1(
    once, arrive, boxes, happening, capsys
):
    arrive("a", "b")
    happening(lambda: turned(boxes[0] / "a_post.png") if not names_in(boxes[1] / "b") else None)
    assert once("--settle", 0.2) == 1
    assert "a: still changes, left in the inbox" in capsys.readouterr().err
    assert "a_post.png" in names_in(boxes[0])
    assert not (boxes[1] / "a").exists()


def test_an_upload_that_goes_on_while_it_is_mapped_leaves_no_holes(
    once, boxes, rasters, engine, meddled, happening, tmp_path
):
    whole = rasters[1].read_bytes()
    map_pair(engine, *rasters, tmp_path / "right", MapOptions())
    rasters[1].write_bytes(whole[: len(whole) // 2])
    calls = []
    half = map_pair(meddled(lambda: calls.append(1)), *rasters, tmp_path / "half", MapOptions())
    assert half["failed_tiles"]
    last = len(calls)
    calls.clear()

    def goes_on():
        calls.append(1)
        if len(calls) == last:
            time.sleep(0.3)  # the windows that follow are read meanwhile
            rasters[1].write_bytes(whole)

    happening(goes_on)
    assert once("--settle", 0.2) == 0
    found, right = (path / "damage.tif" for path in (boxes[1] / "scene", tmp_path / "right"))
    np.testing.assert_array_equal(Image.open(found), Image.open(right))
    assert json.loads((boxes[1] / "scene" / "summary.json").read_text())["failed_tiles"] == []


def test_a_file_that_is_open_for_writing_is_not_complete_however_long_it_rests(
    start, arrive, boxes, tmp_path
):
    arrive("a")
    path = boxes[0] / "a_post.png"
    content = path.read_bytes()
    path.unlink()
    with path.open("wb") as file:
        file.write(content[:-50])
        file.flush()
        if not is_being_written(path):
            pytest.skip("this file system cannot tell")
        process = start()
        assert "a_post.png: another process is still writing it" in process.stderr.readline()
        time.sleep(0.5)  # five times --settle
        assert names_in(boxes[0] / "failed") == set()
        file.write(content[-50:])
    wait_for(lambda: "a_post.png" in names_in(boxes[0] / "done"))
    assert names_in(boxes[0] / "failed") == set()
    assert not is_being_written(boxes[0] / "done" / "a_post.png")


def test_a_map_with_holes_is_counted_and_told_every_time(once, boxes, rasters, capsys):
    rasters[1].write_bytes(rasters[1].read_bytes()[:-20_000])
    assert once() == 1
    told = health(boxes[1])
    assert (told["done"], told["failed"], told["with_holes"]) == (1, 0, 1)
    assert "windows could not be computed, see summary.json" in capsys.readouterr().err
    for path in rasters:
        (boxes[0] / "done" / path.name).rename(path)
    assert once() == 1
    told = health(boxes[1])
    assert (told["done"], told["failed"], told["with_holes"]) == (0, 0, 1)


def test_a_late_world_file_counts_as_a_change(once, arrive, boxes, happening, capsys):
    arrive("a")
    world = boxes[0] / "a_pre.pgw"
    happening(first_time(lambda: world.write_text("1\n0\n0\n-1\n0\n0\n")))
    assert once("--settle", 0.1) == 0
    assert "a_pre.pgw: changed while it was mapped" in capsys.readouterr().err
    [sidecar] = note_of(boxes[1] / "a")["pre"]["sidecars"]
    assert sidecar["file"] == "a_pre.pgw"
    assert names_in(boxes[0] / "done") == {"a_pre.png", "a_pre.pgw", "a_post.png"}


@pytest.mark.parametrize("change", ["engine", "options"])
def test_maps_by_another_engine_or_other_options_are_not_taken_for_these(
    once, arrive, boxes, edit_manifest, make_engine, tmp_path, change
):
    arrive("a")
    assert once() == 0
    before = (boxes[1] / "a").stat().st_ino
    options = ["--min-area", 7]
    if change == "engine":
        options = ["--engine", make_engine(tmp_path / "other", batch=(1, 1, 4))]
    arrive("a")
    assert once(*options) == 1
    reason = (boxes[0] / "failed" / "a" / "reason.txt").read_text()
    assert "a: this pair was mapped before: the maps in " in reason
    assert f"made with another {'engine' if change == 'engine' else '--min-area'}; " in reason
    assert "--redo" in reason
    assert (boxes[1] / "a").stat().st_ino == before
    arrive("a")
    assert once(*options, "--redo") == 0
    assert (boxes[1] / "a").stat().st_ino != before
    assert names_in(boxes[1]) == {"a", "health.json", ".lock"}


def test_an_unfinished_scene_is_not_gone_on_with_of_another_image_of_the_same_stamp(
    engine, meddled, boxes, rasters, write_raster, scene, tmp_path, capsys
):
    """What it was begun with is known by its bytes: a writer can keep size, time and name."""
    pair = Pair("scene", *rasters)
    work = boxes[1] / ".working" / "scene" / "maps" / ".unfinished"

    calls = []

    def lost():
        calls.append(1)
        if len(calls) > 20:
            raise BackendError("lost")

    with holding(boxes[1]):
        with pytest.raises(BackendError):
            map_once(meddled(lost), pair, boxes[1], MapOptions())
        assert is_unfinished(boxes[1], "scene")
        assert json.loads((work / "journal.json").read_text())["heights"]
        status = rasters[0].stat()
        write_raster(rasters[0], 255 - scene)
        os.utime(rasters[0], ns=(status.st_atime_ns, status.st_mtime_ns))
        assert map_once(engine, pair, boxes[1], MapOptions()) is None
    assert "going on" not in capsys.readouterr().err
    map_pair(engine, *rasters, tmp_path / "right", MapOptions())
    found, right = (path / "damage.tif" for path in (boxes[1] / "scene", tmp_path / "right"))
    np.testing.assert_array_equal(Image.open(found), Image.open(right))


SIDECARS = ("tfw", "prj", "tif.aux.xml", "tif.ovr", "tif.msk", "json")


def test_sidecars_go_where_their_image_goes_also_under_another_name(once, boxes, rasters, scene):
    def send(path):
        if not path.exists():
            shutil.copy(boxes[0] / "done" / path.name, path)
        for ending in SIDECARS:
            text = "0.5\n0\n0\n-0.5\n500000\n3300000\n" if ending == "tfw" else ""
            path.with_name(f"{path.stem}.{ending}").write_text(text)

    for path in rasters:  # no .msk or .ovr for real, which GDAL would refuse
        send(path)
        for ending in ("tif.ovr", "tif.msk", "tif.aux.xml", "prj"):
            path.with_name(f"{path.stem}.{ending}").unlink()
    kept = [ending for ending in SIDECARS if ending in ("tfw", "json")]
    assert once() == 0
    expected = {f"scene_{role}.{end}" for role in ("pre", "post") for end in (*kept, "tif")}
    assert names_in(boxes[0] / "done") == expected
    assert names_in(boxes[0]) == {"done", "failed"}
    for path in rasters:
        for ending in (*kept, "tif"):
            source = boxes[0] / "done" / f"{path.stem}.{ending}"
            shutil.copy(source, boxes[0] / source.name)
    assert once() == 0  # the same again
    again = {f"scene_{role}-2.{end}" for role in ("pre", "post") for end in (*kept, "tif")}
    assert names_in(boxes[0] / "done") == expected | again
    assert names_in(boxes[0]) == {"done", "failed"}


@pytest.mark.parametrize("ending", SIDECARS)
def test_sidecars_of_a_bad_pair_go_with_it(once, arrive, boxes, ending):
    arrive("a", roles=("pre",))
    (boxes[0] / "a_pre.png").rename(boxes[0] / "a_pre.tif")
    (boxes[0] / "a_post.tif").write_text("no image")
    (boxes[0] / f"a_pre.{ending}").touch()
    assert once() == 1
    assert names_in(boxes[0] / "failed" / "a") == {
        "a_pre.tif",
        "a_post.tif",
        f"a_pre.{ending}",
        "reason.txt",
    }
    assert names_in(boxes[0]) == {"done", "failed"}


def test_sidecars_that_a_killed_watch_left_follow_their_image(once, arrive, boxes):
    arrive("a")
    for role in ("pre", "post"):
        (boxes[0] / f"a_{role}.pgw").write_text(role)
    assert once() == 0
    (boxes[0] / "done" / "a_pre.pgw").rename(boxes[0] / "a_pre.pgw")
    (boxes[0] / "a_post.pgw").write_text("another, which came late")
    (boxes[0] / "done" / "a_post.pgw").unlink()
    assert once() == 0
    assert "a_pre.pgw" in names_in(boxes[0] / "done")
    assert names_in(boxes[0]) == {"done", "failed", "a_post.pgw"}
    assert health(boxes[1])["ignored_first"] == ["a_post.pgw"]


def test_what_no_rule_matches_is_counted_and_named_once(start, arrive, boxes):
    arrive("a", "B_PRE_or_not", roles=("pre",))
    odd = [
        "notes.txt",
        "town before.png",
        "new\nline_pre.png",
        "a_pre.png.tmp",
        os.fsdecode(b"\xff"),
    ]
    for name in odd:
        (boxes[0] / name).write_text("x")
    (boxes[0] / "folder").mkdir()
    os.mkfifo(boxes[0] / "c_pre.png")
    (boxes[0] / ".hidden").touch()
    process = start()
    wait_for(lambda: health(boxes[1]).get("state") == "running")
    line = process.stderr.readline()
    assert line.startswith("7 files (a_pre.png.tmp, c_pre.png, folder, ")
    assert "belong to no pair, ignored; expected NAME_pre.EXT" in line
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout, stderr) == (0, "", "")
    told = health(boxes[1])
    assert told["ignored"] == 7
    assert r"'new\nline_pre.png'" in told["ignored_first"]
    assert told["waiting"] == 2


def test_names_in_any_case_are_a_pair_and_two_of_one_role_are_none(once, arrive, boxes):
    arrive("a", "b")
    (boxes[0] / "a_pre.png").rename(boxes[0] / "a_PRE_Disaster.PNG")
    shutil.copy(boxes[0] / "b_pre.png", boxes[0] / "b_Pre.PNG")
    assert once() == 1
    assert (boxes[1] / "a").exists()
    reason = (boxes[0] / "failed" / "b" / "reason.txt").read_text()
    assert "expected one image before and one after, found b_Pre.PNG, b_pre.png, b_post" in reason


def test_no_memory_leaves_the_pair_and_lets_the_others_pass(
    once, arrive, boxes, happening, capsys, monkeypatch
):
    arrive("a", "b")

    def short():
        if health(boxes[1])["pair"]["name"] == "a":
            raise MemoryError("no room")

    happening(short)
    assert once() == 1
    assert names_in(boxes[0] / "failed") == set()
    assert {"a_pre.png", "a_post.png"} <= names_in(boxes[0])
    assert (boxes[1] / "b").exists()
    assert "error: no room; left in the inbox" in capsys.readouterr().err


@pytest.fixture
def runs(engine_folder, boxes, monkeypatch):
    """A watch in this process until something is so; what it warned of."""
    for each in (trying, watching):
        monkeypatch.setattr(each, "PATIENCE", (0.01, 0.02))

    def until(condition):
        warned = []
        with (
            holding(boxes[1]),
            Stop() as stop,
            Reopened(engine_folder, 1) as engine,
            Health(boxes[1], engine_folder, 30, warned.append) as told,
            ThreadPoolExecutor() as pool,
        ):
            inbox = Inbox(boxes[0], 0.0)
            watch = Watch(engine, inbox, boxes[1], MapOptions(), told, stop, warned.append)
            waited = pool.submit(wait_for, condition)
            waited.add_done_callback(stop.ask)
            assert watch.forever(0.01) == 0
            waited.result()
        return warned

    return until


def test_a_pair_that_finds_no_memory_again_and_again_is_given_up_at_last(
    runs, arrive, boxes, happening
):
    arrive("a", "b")
    times = []

    def short():
        if health(boxes[1])["pair"]["name"] == "a":
            times.append(1)
            raise MemoryError("no room")

    happening(short)
    runs(lambda: (boxes[0] / "failed" / "a").exists() and (boxes[1] / "b").exists())
    assert len(times) == trying.TRIES
    reason = (boxes[0] / "failed" / "a" / "reason.txt").read_text()
    assert reason.startswith("a: no room, 8 times in a row")


def test_a_pair_that_alone_makes_the_engine_fail_blocks_no_other_and_is_given_up(
    runs, arrive, boxes, happening
):
    arrive("a", "b", "c")

    def fails():
        if health(boxes[1])["pair"]["name"] == "a":
            raise BackendError("lost the GPU")

    happening(fails)
    runs(lambda: (boxes[0] / "failed" / "a").exists())
    assert {"b", "c"} < names_in(boxes[1])
    assert "lost the GPU" in (boxes[0] / "failed" / "a" / "reason.txt").read_text()


def test_an_engine_that_fails_with_every_pair_sends_none_away(runs, arrive, boxes, happening):
    arrive("a", "b")
    times = []

    def fails():
        times.append(1)
        if len(times) < 40:
            raise BackendError("no GPU")

    happening(fails)
    runs(lambda: {"a", "b"} < names_in(boxes[1]))
    assert names_in(boxes[0] / "failed") == set()


def test_an_inbox_that_goes_and_comes_back_loses_nothing(runs, arrive, boxes, tmp_path):
    arrive("a")
    away = tmp_path / "away"
    boxes[0].rename(away)
    boxes[0].mkdir()  # for the start

    def condition():
        if not away.exists():
            return "a_post.png" in names_in(boxes[0] / "done")
        if boxes[0].exists():
            shutil.rmtree(boxes[0])
        elif health(boxes[1]).get("state") == "trouble":
            away.rename(boxes[0])
        return False

    warned = runs(condition)
    assert any("inbox: No such file or directory; no pair is lost" in each for each in warned)
    assert (boxes[1] / "a").exists()


def test_a_pair_that_cannot_be_put_away_blocks_no_other(runs, arrive, boxes):
    arrive("a", "b")
    (boxes[0] / "a_post.png").write_text("no image")
    (boxes[0] / "failed").mkdir()
    (boxes[0] / "failed" / "a").mkdir()
    (boxes[0] / "failed" / ".moving.a").symlink_to("/dev/null")  # in its way
    warned = runs(lambda: "b_post.png" in names_in(boxes[0] / "done"))
    assert any(".moving.a" in each and "left as it is" in each for each in warned)
    assert any(".moving.a" in each and "trying again" in each for each in warned)
    assert (boxes[1] / "b").exists()
    assert {"a_pre.png", "a_post.png"} <= names_in(boxes[0])


READ_ONLY = """
# A second mount over the first: what is open there does not hinder it.
read_only() { mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"; }
[ "$3" = later ] || read_only "$1" || exit 77
{command} & pid=$!
while [ ! -e "$2/ro" ]; do sleep 0.02; done
[ "$3" = start ] || read_only "$1" || exit 77
touch "$2/is-ro"
while [ ! -e "$2/rw" ]; do sleep 0.02; done
umount "$1"
wait $pid
"""


@pytest.mark.parametrize("when", ["start", "later"])
def test_a_read_only_outbox_is_waited_for(boxes, arrive, engine_folder, tmp_path, when):
    boxes[1].mkdir()
    told = tmp_path / "told"
    command = (
        f"{sys.executable} -m runtime.watch --engine {engine_folder} --inbox {boxes[0]} --outbox "
        f"{boxes[1]} --threads 1 --settle 0.1 --poll 0.02 --heartbeat 0.05 2> {told}"
    )
    script = tmp_path / "script.sh"
    script.write_text(READ_ONLY.replace("{command}", command))
    if shutil.which("unshare") is None:
        pytest.skip("no unshare")
    process = subprocess.Popen(
        ["unshare", "-rm", "sh", script, boxes[1], tmp_path, when],
        cwd=Path(__file__).parents[3],
        start_new_session=True,
    )
    try:
        if when == "later":
            wait_for(
                lambda: process.poll() is not None or health(boxes[1]).get("state") == "running"
            )
        (tmp_path / "ro").touch()
        wait_for(lambda: (tmp_path / "is-ro").exists() or process.poll() is not None)
        if process.poll() is not None:
            pytest.skip("no mounts here")
        arrive("a")
        wait_for(lambda: told.exists() and "Read-only file system; no pair" in told.read_text())
        assert {"a_pre.png", "a_post.png"} <= names_in(boxes[0])
        (tmp_path / "rw").touch()
        wait_for(lambda: "a_post.png" in names_in(boxes[0] / "done"))
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_health_file_that_cannot_be_written_ends_nothing(once, arrive, boxes, capsys):
    arrive("a")
    (boxes[1] / ".health.json.partial" / "x").mkdir(parents=True)
    assert once() == 0
    assert "health.json: Is a directory" in capsys.readouterr().err
    assert (boxes[1] / "a").exists()


def test_health_says_which_pair_since_when_and_how_far(
    start, boxes, rasters, engine, happening, once
):
    seen = []
    happening(lambda: seen.append(health(boxes[1])["pair"]))
    assert once("--heartbeat", 0.01) == 0
    assert seen[0]["name"] == "scene"
    assert seen[0]["since"] <= seen[0]["last_progress"]
    assert health(boxes[1])["pair"] is None


def test_progress_is_read_from_the_journal_and_a_hang_is_told(tmp_path, engine_folder):
    warned = []
    outbox, place = tmp_path, tmp_path / ".working" / "town"
    work = place / "maps" / ".unfinished"
    work.mkdir(parents=True)
    with Health(outbox, engine_folder, 0.02, warned.append, stall=0.3) as told:
        told.begun("town", place)
        (work / "journal.json").write_text(json.dumps({"heights": [64, 32], "height": 500}))
        wait_for(lambda: health(outbox)["pair"]["pixel_rows_done"] == 96)
        assert health(outbox)["pair"]["pixel_rows"] == 500
        assert health(outbox)["state"] == "running"
        wait_for(lambda: health(outbox)["state"] == "stalled")
        [line] = warned
        assert line.startswith("town: no progress for 0.3 s; ")
        (work / "damage").write_text("more")
        wait_for(lambda: health(outbox)["state"] == "running")
        told.ended()
        told.write()
        assert (health(outbox)["pair"], health(outbox)["state"]) == (None, "running")


def test_an_engine_that_hangs_is_stalled(once, arrive, boxes, happening):
    arrive("a")
    happening(lambda: wait_for(lambda: health(boxes[1])["state"] == "stalled"))
    assert once("--heartbeat", 0.02, "--stall", 0.2) == 0
    assert (boxes[1] / "a").exists()


def test_a_second_watch_on_the_inbox_is_refused(start, once, boxes, tmp_path):
    process = start()
    wait_for(lambda: health(boxes[1]).get("state") == "running")
    time.sleep(0.1)
    with pytest.raises(ConfigError, match="inbox: another watch takes its pairs"):
        once(outbox=tmp_path / "another")
    assert process.poll() is None


@pytest.mark.parametrize("name", ["done", "failed"])
def test_the_inboxs_own_folders_are_no_outbox(once, boxes, name):
    with pytest.raises(ConfigError, match="is a folder of the inbox's own; expected another"):
        once(outbox=boxes[0] / name)


def test_times_of_the_future_and_steps_of_the_clock_do_not_matter(once, arrive, boxes):
    arrive("a")
    for path in boxes[0].glob("a_*"):
        os.utime(path, (4e9, 4e9))
    assert once() == 0
    assert (boxes[1] / "a").exists()


@pytest.mark.parametrize("name", ["summary.json", "damage.png"])
def test_maps_that_were_damaged_are_not_taken_for_done(once, arrive, boxes, name):
    arrive("a")
    assert once() == 0
    whole = (boxes[1] / "a" / "damage.png").read_bytes()
    (boxes[1] / "a" / name).write_bytes(b"")
    arrive("a")
    assert once() == 1
    reason = (boxes[0] / "failed" / "a" / "reason.txt").read_text()
    assert reason.startswith("a: this pair was mapped before: the maps in ")
    assert f"are damaged: {name} is " in reason
    arrive("a")
    assert once("--redo") == 0
    assert (boxes[1] / "a" / "damage.png").read_bytes() == whole


def test_one_image_under_two_names_is_sent_away_with_its_link(once, arrive, boxes):
    arrive("a", roles=("pre",))
    (boxes[0] / "a_post.png").symlink_to("a_pre.png")
    assert once() == 1
    assert names_in(boxes[0] / "failed" / "a") == {"a_pre.png", "a_post.png", "reason.txt"}
    assert "are the same image" in (boxes[0] / "failed" / "a" / "reason.txt").read_text()
    assert names_in(boxes[1]) == {"health.json", ".lock"}


def in_the_way(path, what):
    if what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path.name if what == "circle" else "nothing.png")


@pytest.mark.parametrize("what", ["pipe", "circle", "dangling"])
def test_a_partner_that_is_there_and_no_file_is_told_in_one_line(once, arrive, boxes, capsys, what):
    arrive("a", roles=("pre",))
    in_the_way(boxes[0] / "a_post.png", what)
    arrive("b", roles=("pre",))
    assert once() == 1
    assert capsys.readouterr().err.splitlines() == [
        "a: a_post.png is a link that leads nowhere, a pipe or a folder, left in the inbox; "
        "expected an image",
        "b: an image is missing, left in the inbox: b_pre.png",
    ]
    assert health(boxes[1])["ignored"] == 0
    assert {"a_pre.png", "a_post.png", "b_pre.png"} <= names_in(boxes[0])


def test_a_watch_tells_of_a_partner_that_is_no_file_and_maps_it_when_it_is_one(runs, arrive, boxes):
    arrive("a", roles=("pre",))
    in_the_way(boxes[0] / "a_post.png", "dangling")

    def condition():
        if health(boxes[1]).get("waiting") == 1 and (boxes[0] / "a_post.png").is_symlink():
            time.sleep(0.1)
            (boxes[0] / "a_post.png").unlink()
            arrive("a", roles=("post",))
        return "a_post.png" in names_in(boxes[0] / "done")

    assert len(runs(condition)) == 1


@pytest.mark.parametrize("option", ["settle", "poll", "heartbeat", "stall"])
@pytest.mark.parametrize("value", ["inf", "1e300", "nan", "86401"])
def test_times_that_no_clock_can_wait_for_are_refused(once, option, value):
    with pytest.raises(ConfigError, match=rf"--{option} is .*; expected 0\.\d+ to 86400 seconds"):
        once(f"--{option}", value)


@pytest.mark.parametrize("which", ["inbox", "outbox"])
def test_a_folder_that_is_a_link_in_a_circle_is_refused(once, boxes, tmp_path, which):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ConfigError, match=r"loop: (not a folder|is a link that leads nowhere); "):
        once(**{which: tmp_path / "loop"})

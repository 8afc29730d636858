"""A watch among others: its service manager, priorities, what is kept, and another engine."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from runtime import cli
from runtime.errors import ConfigError, EngineError
from runtime.files import sha256
from runtime.many.health import Health
from runtime.many.inbox import Inbox
from runtime.many.lasting import Reopened, Stop
from runtime.many.outbox import holding
from runtime.many.priority import ranks
from runtime.many.retention import DAY, GIB, Limits, Retention
from runtime.many.systemd import Service
from runtime.many.watching import Watch
from runtime.options import MapOptions
from tests.runtime.many.waiting import wait_for


def test_a_service_manager_hears_ready_alive_and_ending(start, arrive, boxes, manager):
    path, told = manager
    environ = {**os.environ, "NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "600000"}
    process = start(env=environ)
    heard = []
    wait_for(lambda: heard.extend(told()) or heard.count("WATCHDOG=1") > 4)
    assert "READY=1" in heard
    assert "STOPPING=1" not in heard
    process.terminate()
    process.wait(20)
    heard += told()
    assert "STOPPING=1" in heard
    assert any(line.startswith("STATUS=running: 0 mapped") for line in heard)


def test_a_pair_that_hangs_leaves_the_watchdog_without_a_sign(tmp_path, manager):
    path, told = manager
    service = Service({"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "60000"})
    with Health(tmp_path, tmp_path, 30, lambda _: None, stall=0.2, service=service) as health:
        health.begun("a", tmp_path / "gone")
        wait_for(lambda: "stalled" in (tmp_path / "health.json").read_text())
        told()
        time.sleep(0.2)
        heard = told()
        assert heard
        assert "WATCHDOG=1" not in heard
        health.ended()
        wait_for(lambda: "WATCHDOG=1" in told())


@pytest.mark.parametrize(
    ("environ", "beat"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_without_a_manager_nothing_is_told(environ, beat):
    service = Service(environ)
    assert service.beat == beat
    service.ready()
    Service({"NOTIFY_SOCKET": "/nowhere/at/all"}).alive("x")


def test_pairs_of_an_earlier_line_are_mapped_first(once, arrive, boxes):
    for name in ("a", "b", "hospital-2", "hospital-1", "school"):
        arrive(name)
        time.sleep(0.02)
    (boxes[0] / "priority.txt").write_text("# first of all\nschool  # the shelter\nhospital-*\n")
    assert once() == 0
    ended = {path.parent.name: path.stat().st_mtime_ns for path in boxes[1].glob("*/summary.json")}
    order = sorted(ended, key=ended.get)
    assert order == ["school", "hospital-1", "hospital-2", "a", "b"]


def test_one_that_comes_while_others_wait_goes_before_them(boxes, arrive, engine_folder, happening):
    for name in ("a", "b", "c"):
        arrive(name)
    (boxes[0] / "priority.txt").write_text("urgent\n")
    calls = itertools.count()

    def arrives():
        if next(calls) == 0:
            arrive("urgent")

    happening(arrives)
    stop = Stop()
    with (
        holding(boxes[1]),
        Health(boxes[1], engine_folder, 30, cli.note) as told,
        Reopened(engine_folder, 1) as engine,
    ):
        watch = Watch(engine, Inbox(boxes[0], 0.0), boxes[1], MapOptions(), told, stop, cli.note)
        ask = threading.Thread(
            target=lambda: (
                wait_for(lambda: len(list((boxes[0] / "done").glob("*_post.png"))) == 4),
                stop.ask(),
            )
        )
        ask.start()
        watch.forever(0.01)
        ask.join()
    ended = {path.parent.name: path.stat().st_mtime_ns for path in boxes[1].glob("*/summary.json")}
    assert sorted(ended, key=ended.get)[1] == "urgent"


def test_priorities_that_cannot_be_read_are_told_and_change_nothing(tmp_path):
    said = []
    (tmp_path / "priority.txt").write_bytes(b"\xff\xfe\x00")
    assert ranks(tmp_path, said.append)("a") == ranks(tmp_path, said.append)("b")
    assert "expected a pattern of names a line" in said[0]
    (tmp_path / "priority.txt").unlink()
    assert ranks(tmp_path, said.append)("a") == 0
    assert len(said) == 2


@pytest.fixture
def kept(tmp_path):
    """An outbox of maps of 1 MiB, and an inbox of done images: name to age in days."""
    outbox, inbox = tmp_path / "outbox", tmp_path / "inbox"
    (outbox / ".working").mkdir(parents=True)
    (inbox / "done").mkdir(parents=True)

    def make(ages):
        for name, age in ages.items():
            (outbox / name).mkdir()
            (outbox / name / "damage.tif").write_bytes(bytes(1 << 20))
            summary = outbox / name / "summary.json"
            summary.write_text("{}")
            os.utime(summary, (time.time() - age * DAY,) * 2)

    def keep(said, **limits):
        Retention(outbox, inbox, Limits(**limits), said.append).keep_within()
        return {path.name for path in outbox.iterdir() if path.name[0] != "."}

    return outbox, inbox, make, keep


def test_maps_older_than_their_days_go(kept):
    outbox, _, make, keep = kept
    make({"new": 1, "old": 11, "older": 30})
    said = []
    assert keep(said, days=10) == {"new"}
    assert len(said) == 2
    assert not list((outbox / ".working").iterdir())


def test_the_oldest_go_until_the_rest_fits(kept):
    _, inbox, make, keep = kept
    make({"a": 4, "b": 3, "c": 2, "d": 1})
    (inbox / "done" / "d_pre.png").write_bytes(bytes(1 << 20))
    assert keep([], gib=3.5 * (1 << 20) / GIB) == {"c", "d"}
    assert (inbox / "done" / "d_pre.png").exists()


def test_what_people_made_stays(kept):
    outbox, _, make, keep = kept
    make({"a": 30, "b": 20})
    (outbox / "a" / "corrections.gpkg").write_bytes(b"x")
    (outbox / "mine").mkdir()
    (outbox / "mine" / "notes.txt").write_text("no map")
    said = []
    assert keep(said, days=1, gib=1e-6) == {"a", "mine"}
    assert "corrected by hand, or cannot be removed" in said[-1]


def test_nothing_goes_without_being_asked(kept):
    _, _, make, keep = kept
    make({"a": 4000})
    assert keep([]) == {"a"}


@pytest.mark.parametrize("limits", [{"days": 0.0}, {"gib": -1.0}, {"days": float("nan")}])
def test_limits_that_cannot_be_meant_are_refused(limits):
    with pytest.raises(ConfigError, match="expected more than 0"):
        Limits(**limits)


def test_a_watch_keeps_within_its_limits(start, arrive, boxes, monkeypatch):
    arrive("old")
    process = start("--once")
    assert process.wait(60) == 0
    summary = boxes[1] / "old" / "summary.json"
    os.utime(summary, (time.time() - 5 * DAY,) * 2)
    arrive("new")
    process = start("--keep-days", 2)
    wait_for(lambda: (boxes[1] / "new").exists())
    wait_for(lambda: not (boxes[1] / "old").exists())
    process.terminate()
    assert "old: removed, as --keep-days" in process.communicate()[1]


def sees_no_building(folder):
    """Another engine: the weights of the image before are 0."""
    path = folder / "model.onnx"
    model = onnx.load(path)
    (weight,) = (each for each in model.graph.initializer if each.name == "pre_weight")
    weight.CopyFrom(numpy_helper.from_array(np.zeros((1, 3, 1, 1), np.float32), "pre_weight"))
    onnx.save(model, path)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["payload"][0].update(size=path.stat().st_size, sha256=sha256(path))
    manifest["created"] = "2026-02-03T00:00:00+00:00"
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def two_engines(make_engine, tmp_path):
    """A link `engine` to the first of two engines, and a function that turns it."""
    make_engine(tmp_path / "engines" / "one")
    shutil.copytree(tmp_path / "engines" / "one", tmp_path / "engines" / "other")
    sees_no_building(tmp_path / "engines" / "other")
    link = tmp_path / "current"

    def turn(name):
        fresh = tmp_path / ".next"
        fresh.symlink_to(tmp_path / "engines" / name)
        fresh.replace(link)

    turn("one")
    return link, turn


def test_another_engine_takes_over_between_two_pairs(two_engines):
    link, turn = two_engines
    said = []
    with Reopened(link, 1, warn=said.append) as engine:
        first = engine.get()
        assert engine.get() is first
        turn("other")
        second = engine.get()
        assert second is not first, said
        assert second.manifest.created.startswith("2026-02-03")
        with pytest.raises(EngineError, match="closed"):
            first.predict(*([np.zeros((32, 48, 3), np.uint8)] * 2))
        assert engine.get() is second
    (line,) = said
    assert "another engine from now on: dual-hrnet w8 fp32" in line
    assert "not self-tested: its manifest records no answer" in line


def test_one_that_is_refused_changes_nothing_until_it_is_mended(two_engines, tmp_path):
    link, turn = two_engines
    payload = tmp_path / "engines" / "other" / "model.onnx"
    whole = payload.read_bytes()
    payload.write_bytes(whole[:-10])
    said = []
    with Reopened(link, 1, warn=said.append) as engine:
        first = engine.get()
        turn("other")
        assert engine.get() is first
        assert engine.get() is first
        (line,) = said
        assert "another engine lies there and is refused" in line
        assert "going on with the one before" in line
        payload.write_bytes(whole)
        manifest = tmp_path / "engines" / "other" / "manifest.json"
        manifest.write_text(manifest.read_text())
        assert engine.get() is not first


def test_one_whose_answer_is_not_what_it_was_is_refused(two_engines, tmp_path):
    from runtime.known_answer import KEY, recorded

    link, turn = two_engines
    with Reopened(tmp_path / "engines" / "one", 1) as engine:
        one = engine.get()

        def run(pre, post):
            maps = one.predict(pre, post)
            return maps.damage, maps.building, maps.confidence

        answer = recorded(run, one.height, one.width)
    path = tmp_path / "engines" / "other" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["verification"][KEY] = answer
    path.write_text(json.dumps(manifest))
    said = []
    with Reopened(link, 1, warn=said.append) as engine:
        first = engine.get()
        turn("other")
        assert engine.get() is first
    assert "another one than when it was built" in said[0]


def test_a_folder_that_is_gone_for_a_moment_is_no_end(two_engines, tmp_path):
    link, turn = two_engines
    said = []
    with Reopened(link, 1, warn=said.append) as engine:
        first = engine.get()
        link.unlink()
        assert engine.get() is first
        turn("one")
        assert engine.get() is first
    assert len(said) == 1
    assert "is refused" in said[0]


@pytest.mark.parametrize("switches", [6, pytest.param(100, marks=pytest.mark.slow)])
def test_engines_that_change_under_load_lose_no_pair(two_engines, boxes, arrive, switches):
    link, turn = two_engines
    names = [f"pair-{number}" for number in range(2 * switches)]
    said, done = [], threading.Event()
    stop = Stop()

    def change():
        order = itertools.cycle(("other", "one"))
        for number, name in enumerate(names):
            arrive(name)
            if number % 2:
                turn(next(order))
            wait_for(lambda name=name: (boxes[0] / "done" / f"{name}_post.png").exists())
        done.set()
        stop.ask()

    with (
        holding(boxes[1]),
        Health(boxes[1], link, 30, said.append) as told,
        Reopened(link, 1, warn=said.append) as engine,
    ):
        watch = Watch(engine, Inbox(boxes[0], 0.0), boxes[1], MapOptions(), told, stop, said.append)
        changing = threading.Thread(target=change)
        changing.start()
        watch.forever(0.005)
        changing.join()
    assert done.is_set()
    made = {path.parent.name for path in boxes[1].glob("*/summary.json")}
    assert made == set(names)
    assert not list((boxes[0] / "failed").iterdir())
    changes = [line for line in said if "another engine from now on" in line]
    assert switches - 1 <= len(changes) <= switches
    assert not [line for line in said if "refused" in line or "error" in line]
    built = {
        name: json.loads((boxes[1] / name / "summary.json").read_text())["engine"]["created"]
        for name in names
    }
    assert len(set(built.values())) == 2


UNPLUGGED = """
mount -t tmpfs none "$1" && mkdir "$1/outbox" || exit 77
{command} & pid=$!
while [ ! -e "$2/out" ]; do sleep 0.02; done
mount --move "$1" "$2/away"
touch "$2/is-out"
while [ ! -e "$2/in" ]; do sleep 0.02; done
mount --move "$2/away" "$1"
while [ ! -e "$2/end" ]; do sleep 0.02; done
ls "$1/outbox" > "$2/maps"
kill $pid
wait $pid
"""


def test_an_outbox_whose_disk_is_taken_out_is_waited_for(boxes, arrive, engine_folder, tmp_path):
    """What lies where it was mounted is another folder, in which maps would be lost."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare")
    stick, told = tmp_path / "stick", tmp_path / "told"
    (stick / "outbox").mkdir(parents=True)  # found when the disk is gone
    (tmp_path / "away").mkdir()
    command = (
        f"{sys.executable} -m runtime.watch --engine {engine_folder} --inbox {boxes[0]} --outbox "
        f"{stick / 'outbox'} --threads 1 --settle 0.1 --poll 0.02 2> {told}"
    )
    script = tmp_path / "script.sh"
    script.write_text(UNPLUGGED.replace("{command}", command))
    process = subprocess.Popen(
        ["unshare", "-rm", "sh", script, stick, tmp_path],
        cwd=Path(__file__).parents[3],
        start_new_session=True,
    )
    try:
        arrive("a")
        done = boxes[0] / "done"
        wait_for(lambda: (done / "a_post.png").exists() or process.poll() is not None)
        if process.poll() is not None:
            pytest.skip("no mounts here")
        (tmp_path / "out").touch()
        wait_for(lambda: (tmp_path / "is-out").exists())
        arrive("b")
        wait_for(lambda: "is gone; mount it again; no pair is lost" in told.read_text())
        assert (boxes[0] / "b_post.png").exists()
        (tmp_path / "in").touch()
        wait_for(lambda: (done / "b_post.png").exists())
        (tmp_path / "end").touch()
        process.wait(20)
        assert (tmp_path / "maps").read_text().split() == ["a", "b", "health.json"]
        assert [path.name for path in (stick / "outbox").iterdir()] == ["health.json"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

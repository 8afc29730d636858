import errno
import json
import threading
from contextlib import ExitStack

import numpy as np
import pytest

from runtime import files
from runtime.errors import BackendError
from runtime.many import trying
from runtime.many.lasting import Reopened
from runtime.options import MapOptions
from runtime.serve import worker as working
from tests.runtime.many.conftest import Meddled
from tests.runtime.many.waiting import wait_for
from tests.runtime.serve.conftest import Server


@pytest.fixture
def happening(monkeypatch):
    """Let something happen before each window."""
    get = Reopened.get

    def call(happens):
        monkeypatch.setattr(Reopened, "get", lambda self: Meddled(get(self), happens))

    return call


@pytest.fixture
def gate(happening):
    """Windows wait until they are let through: `gate.release(n)`; `gate.waiting` tells of one."""

    class Gate:
        def __init__(self):
            self._through = threading.Semaphore(0)
            self.waiting = threading.Event()
            self.release = self._through.release
            self.passed = 0

        def __call__(self):
            self.waiting.set()
            assert self._through.acquire(timeout=30)
            self.passed += 1

    gate = Gate()
    happening(gate)
    return gate


def maps_of(server, id):
    folder = server.places.maps / id
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


def test_jobs_are_mapped_one_after_the_other_in_the_order_they_came(server, draw, gate):
    ids = [server.begin(*draw(40, 50, seed)) for seed in range(3)]
    assert [server.job(id)["position"] for id in ids] == [1, 2, 3]
    with server.working():
        for number, id in enumerate(ids):
            wait_for(lambda id=id: server.job(id)["state"] == "running")
            assert server.client.get("/api/health").json()["running"] == id
            states = [server.job(each)["state"] for each in ids]
            assert states == ["done"] * number + ["running"] + ["waiting"] * (2 - number)
            gate.release()
            assert server.ended(id)["state"] == "done"
    listed = server.client.get("/api/jobs").json()
    assert [each["id"] for each in listed] == ids[::-1]


def test_progress_counts_windows_up_to_all(server, draw, gate):
    id = server.begin(*draw(300, 160))
    seen = []
    with server.working():
        while not server.jobs.get(id).has_ended:
            seen.append(server.job(id)["progress"])
            gate.release()
            gate.waiting.wait(0.05)
        assert server.job(id)["progress"] == {"done": seen[-1]["of"], "of": seen[-1]["of"]}
    done = [each["done"] for each in seen]
    assert done == sorted(done)
    assert seen[-1]["of"] == 4  # windows of 128 rows with a halo of 32


def test_a_job_that_is_cancelled_ends_after_its_window_and_goes_on_there(
    server, draw, gate, reference
):
    pre, post = draw(500, 160)
    id = server.begin(pre, post)
    with server.working():
        gate.release(3)
        wait_for(lambda: gate.passed == 3)
        assert server.client.post(f"/api/jobs/{id}/cancel").status_code == 200
        gate.release(2)  # those that the engine has already
        assert server.ended(id)["state"] == "cancelled"
        before = gate.passed
        assert before <= 5
        assert not (server.places.maps / id).exists()
        resumed = server.client.post(f"/api/jobs/{id}/resume").json()
        assert resumed["state"] == "waiting"
        gate.release(100)
        assert server.ended(id)["state"] == "done"
    windows = server.job(id)["progress"]["of"]
    assert windows == 7
    # One row may have been at work when it ended, and is computed again.
    assert gate.passed <= windows + 2
    damage, *_ = reference(pre, post)
    summary = json.loads((server.places.maps / id / "summary.json").read_text())
    assert summary["pixels"]["destroyed"] == int((damage == 4).sum())


def test_a_job_that_waits_is_cancelled_at_once(server, draw):
    id = server.begin(*draw(40, 50))
    assert server.client.post(f"/api/jobs/{id}/cancel").json()["state"] == "cancelled"
    refused = server.client.post(f"/api/jobs/{id}/cancel")
    assert refused.status_code == 409
    assert server.client.post(f"/api/jobs/{id}/resume").json()["position"] == 1


def test_a_server_that_is_ended_keeps_its_job_and_the_next_goes_on(start, draw, gate):
    server = start()
    id = server.begin(*draw(500, 160))
    with server.working():
        gate.release(4)
        wait_for(lambda: gate.passed == 4)
        server.stop.ask()
        gate.release(2)
    assert server.job(id)["state"] == "waiting"
    before = gate.passed
    server = start()
    with server.working():
        gate.release(100)
        assert server.ended(id)["state"] == "done"
    assert gate.passed - before < 7


def test_a_job_whose_maps_were_there_when_the_server_died_is_not_mapped_again(start, draw, gate):
    server = start()
    id = server.begin(*draw(40, 50))
    with server.working():
        gate.release(1)
        server.ended(id)
    inodes, passed = maps_of(server, id), gate.passed
    path = server.places.jobs / f"{id}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"state": "running", "ended": None}))
    server = start()
    assert server.job(id)["state"] == "waiting"
    with server.working():
        assert server.ended(id)["state"] == "done"
    assert maps_of(server, id) == inodes
    assert gate.passed == passed


def test_a_pair_that_cannot_be_mapped_fails_with_the_line_and_can_be_tried_again(server, draw):
    pre, post = draw(40, 50)
    id = server.begin(pre, np.ascontiguousarray(post[:30]))
    good = server.begin(pre, post)
    with server.working():
        job = server.ended(id)
        assert server.ended(good)["state"] == "done"
        assert job["state"] == "failed"
        assert "expected two images of one size" in job["error"]
        assert server.client.get(f"/api/jobs/{id}/map").status_code == 409
        assert server.client.post(f"/api/jobs/{id}/resume").json()["error"] is None
        assert server.ended(id)["state"] == "failed"


def test_the_same_image_twice_fails(server, draw):
    pre, _ = draw(40, 50)
    id = server.begin(pre, pre)
    with server.working():
        assert "same image" in server.ended(id)["error"]


@pytest.mark.parametrize("error", [BackendError("GPU fell off"), OSError(errno.ENOSPC, "No space")])
def test_what_is_no_job_s_fault_is_told_and_tried_again(
    server, draw, happening, monkeypatch, error
):
    for module in (trying, working):
        monkeypatch.setattr(module, "PATIENCE", (0.05, 0.1))
    state = {"fails": 2}

    def fails():
        if state["fails"]:
            state["fails"] -= 1
            raise error

    if isinstance(error, OSError):
        map_counted = working.map_counted

        def mapping(*arguments, **options):
            fails()
            return map_counted(*arguments, **options)

        monkeypatch.setattr(working, "map_counted", mapping)
    else:
        happening(fails)
    id = server.begin(*draw(40, 50))
    with server.working():
        told = wait_for(lambda: server.client.get("/api/health").json()["trouble"])
        assert "GPU fell off" in told or "No space" in told
        assert server.ended(id)["state"] == "done"
        assert server.client.get("/api/health").json()["status"] == "ok"


def test_a_job_is_deleted_with_all_that_is_its_own(server, draw):
    shared = server.upload(draw(40, 50)[0])
    posts = [server.upload(draw(40, 50, seed)[1]) for seed in (1, 2)]
    ids = [
        server.client.post(
            "/api/jobs", json={"pre": {"upload": shared}, "post": {"upload": post}}
        ).json()["id"]
        for post in posts
    ]
    with server.working():
        for id in ids:
            assert server.ended(id)["state"] == "done"
        assert server.client.delete(f"/api/jobs/{ids[0]}").status_code == 204
        left = {path.name for path in server.places.data.rglob("*")}
        assert not {ids[0], posts[0], f"{ids[0]}.json", f"{ids[0]}.buildings"} & left
        assert {ids[1], posts[1], shared} < left
        assert server.client.get(f"/api/jobs/{ids[0]}").status_code == 404
        assert server.client.delete(f"/api/jobs/{ids[1]}").status_code == 204
    assert [*server.places.uploads.iterdir(), *server.places.views.iterdir()] == []


def test_a_job_that_runs_is_not_deleted(server, draw, gate):
    id = server.begin(*draw(40, 50))
    with server.working():
        wait_for(lambda: server.job(id)["state"] == "running")
        assert server.client.delete(f"/api/jobs/{id}").status_code == 409
        gate.release()
        server.ended(id)


def test_a_delete_that_was_cut_off_is_ended_by_the_next_server(start, draw):
    server = start()
    id = server.begin(*draw(40, 50))
    path = server.places.jobs / f"{id}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"state": "deleting"}))
    server = start()
    assert server.client.get(f"/api/jobs/{id}").status_code == 404
    assert server.client.get("/api/jobs").json() == []
    with server.working():
        wait_for(lambda: not path.exists())
    assert list(server.places.uploads.iterdir()) == []


def test_a_job_s_file_that_is_no_job_s_is_told_and_left(start, draw, capsys):
    server = start()
    id = server.begin(*draw(40, 50))
    (server.places.jobs / "odd.json").write_text('{"id": 7}')
    (server.places.jobs / ".half.json").write_text("{")
    server = start()
    assert [each["id"] for each in server.client.get("/api/jobs").json()] == [id]
    assert "odd.json: key " in capsys.readouterr().err
    assert {path.name for path in server.places.jobs.iterdir()} == {f"{id}.json", "odd.json"}


def test_what_cannot_be_shown_is_told_and_the_map_is_there(server, draw, monkeypatch):
    monkeypatch.setattr(working.views, "make", lambda *_: 1 / 0)
    id = server.begin(*draw(40, 50))
    with server.working():
        job = server.ended(id)
    assert job["state"] == "done"
    assert "the page cannot show this map" in job["notes"][-1]
    assert server.client.get(f"/api/jobs/{id}/files/damage.png").status_code == 200
    tile = server.client.get(f"/api/jobs/{id}/tiles/damage/0/0/0.png")
    assert (tile.status_code, "see its notes" in tile.text) == (404, True)


def test_pairs_of_the_inbox_are_listed_when_both_are_there_and_mapped_where_they_lie(server, draw):
    from PIL import Image

    pre, post = draw(40, 50)
    Image.fromarray(pre).save(server.places.inbox / "old_town_pre.png")
    assert server.client.get("/api/pairs").json() == []
    Image.fromarray(post).save(server.places.inbox / "old_town_post.png")
    [pair] = server.client.get("/api/pairs").json()
    assert pair == {"name": "old_town", "pre": "old_town_pre.png", "post": "old_town_post.png"}
    for asked in (
        {"pair": "old_town"},
        {"pre": {"pair": "old_town"}, "post": {"pair": "old_town"}},
    ):
        id = server.client.post("/api/jobs", json=asked).json()["id"]
        with server.working():
            assert server.ended(id)["state"] == "done"
    assert {path.name for path in server.places.inbox.iterdir()} == {pair["pre"], pair["post"]}


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 400),
        ({"pair": "none"}, 404),
        ({"pair": "../jobs"}, 404),
        ({"pre": {"upload": "x"}, "post": {"upload": "y"}}, 404),
        ({"pre": {}, "post": {}}, 400),
        ({"pre": {"pair": "a", "upload": "b"}, "post": {}}, 400),
        ({"pair": "a", "pre": {"pair": "a"}}, 400),
        ({"pair": 7}, 422),
        ({"pair": "a", "path": "/etc/passwd"}, 422),
    ],
)
def test_a_job_that_cannot_be_meant_is_refused(server, asked, status):
    answer = server.client.post("/api/jobs", json=asked)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert server.client.get("/api/jobs").json() == []


def test_an_upload_that_is_not_whole_is_no_image_of_a_job(server):
    begun = server.client.post("/api/uploads", json={"name": "a.png", "size": 100}).json()
    images = {role: {"upload": begun["id"]} for role in ("pre", "post")}
    answer = server.client.post("/api/jobs", json=images)
    assert answer.status_code == 409
    assert "0 of 100 bytes" in answer.json()["error"]


def test_metrics_are_prometheus_s_text(server, draw):
    id = server.begin(*draw(40, 50))
    with server.working():
        server.ended(id)
    answer = server.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    values = {}
    for line in answer.text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            values[name] = float(value)
    assert values['dual_hrnet_jobs{state="done"}'] == 1
    assert values["dual_hrnet_windows_total"] == 1
    assert values["dual_hrnet_uploads"] == 2
    assert values["dual_hrnet_mapping_seconds_total"] > 0
    for name in values:
        family = name.partition("{")[0]
        assert f"# TYPE {family} " in answer.text


def test_a_disk_that_is_full_when_a_job_ends_loses_nothing(server, draw, monkeypatch):
    monkeypatch.setattr(working, "PATIENCE", (0.05, 0.1))
    write, state = files.write_json, {"fails": 3}

    def fails(path, content):
        if isinstance(content, dict) and content.get("state") == "done" and state["fails"]:
            state["fails"] -= 1
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, content)

    monkeypatch.setattr(files, "write_json", fails)
    id = server.begin(*draw(40, 50))
    with server.working():
        assert server.ended(id)["state"] == "done"
    assert state["fails"] == 0
    assert server.client.get("/api/health").json()["trouble"] is None


def test_on_a_full_disk_a_job_can_still_be_deleted(server, draw, monkeypatch):
    id = server.begin(*draw(40, 50))
    with server.working():
        server.ended(id)
    write = files.write_json

    def full(path, content):
        if (server.places.views / id).exists():
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, content)

    monkeypatch.setattr(files, "write_json", full)
    assert server.client.post("/api/uploads", json={"name": "a", "size": 1}).status_code == 507
    assert server.client.delete(f"/api/jobs/{id}").status_code == 204
    assert not (server.places.maps / id).exists()


def test_a_defect_fails_its_job_and_no_other(server, draw, monkeypatch):
    map_counted, calls = working.map_counted, []

    def mapping(*arguments, **options):
        calls.append(1)
        if len(calls) == 1:
            raise KeyError("odd")
        return map_counted(*arguments, **options)

    monkeypatch.setattr(working, "map_counted", mapping)
    ids = [server.begin(*draw(40, 50, seed)) for seed in (1, 2)]
    with server.working():
        first, second = (server.ended(id) for id in ids)
    assert first["state"] == "failed"
    assert "unexpected KeyError" in first["error"]
    assert second["state"] == "done"


def test_health_tells_the_engine_that_maps_now(make_engine, draw, tmp_path):
    first = make_engine(tmp_path / "first", size=(128, 160))
    second = make_engine(tmp_path / "second", size=(64, 96))
    link = tmp_path / "engine"
    link.symlink_to(first)
    with ExitStack() as stack:
        server = Server(stack, link, tmp_path / "data", MapOptions(), None, 1 << 30)

        def told():
            return server.client.get("/api/health").json()["engine"]["size"]

        with server.working():
            assert told() == [128, 160]  # none is loaded yet
            server.ended(server.begin(*draw(40, 50)))
            link.unlink()
            link.symlink_to(second)
            assert told() == [128, 160]  # it takes over with the next job
            server.ended(server.begin(*draw(40, 50, 1)))
            assert told() == [64, 96]
            server.engine.close()  # as after a trouble
            link.unlink()
            assert told() == [64, 96]

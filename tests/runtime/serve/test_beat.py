"""What a service manager hears of a server."""

import time
from types import SimpleNamespace

import pytest

from runtime.many.systemd import Service
from runtime.serve import beat
from runtime.serve.beat import Beat


@pytest.fixture
def heard(manager):
    """The environment of a unit with a watchdog, and what its manager was told since."""
    path, told = manager
    return {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "60000"}, told


def worker(**values):
    return SimpleNamespace(
        **{"running": None, "progress": (0, 0), "trouble": None, "mapped": 2, "failed": 1, **values}
    )


def test_an_idle_server_is_alive_and_says_when_it_ends(heard, monkeypatch):
    monkeypatch.setattr(beat, "STALL", 0.1)
    environ, told = heard
    with Beat(worker(), Service(environ)):
        time.sleep(0.4)
        lines = told()
    assert lines[0] == "READY=1"
    assert lines.count("WATCHDOG=1") > 5
    assert "STATUS=running: 2 mapped, 1 failed" in lines
    assert "STOPPING=1" in told()


def test_a_job_without_progress_leaves_the_watchdog_without_a_sign(heard, monkeypatch):
    monkeypatch.setattr(beat, "STALL", 0.2)
    environ, told = heard
    job = worker(running="a", progress=(1, 9))
    with Beat(job, Service(environ)):
        time.sleep(0.5)
        told()
        time.sleep(0.2)
        stalled = told()
        assert stalled
        assert "WATCHDOG=1" not in stalled
        job.progress = (2, 9)
        time.sleep(0.15)
        assert "WATCHDOG=1" in told()

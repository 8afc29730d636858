"""Work shared by processes: in order, errors as they are, and none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.errors import ToolkitError
from train import pool
from train.pool import mapped

REPOSITORY = Path(__file__).parents[2]


def _square(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def _failing(number: int) -> int:
    if number == 150:
        raise OSError(28, "No space left on device", "some.mask")
    return number


def _dying(number: int) -> int:
    if number == 150:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_many_things_are_shared_by_processes_in_order() -> None:
    found = list(mapped(_square, range(130), 2))
    assert [value for value, _ in found] == [number * number for number in range(130)]
    assert os.getpid() not in {process for _, process in found}


def test_few_things_start_no_process() -> None:
    assert {process for _, process in mapped(_square, range(20), 2)} == {os.getpid()}


def test_without_shared_memory_there_are_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_have_locks", lambda: False)
    assert {process for _, process in mapped(_square, range(130), 2)} == {os.getpid()}


def test_errors_come_as_they_are_raised() -> None:
    with pytest.raises(OSError, match="No space") as caught:
        list(mapped(_failing, range(300), 2))
    assert caught.value.filename == "some.mask"


def test_a_killed_process_is_one_line() -> None:
    with pytest.raises(ToolkitError, match="was killed, for memory as a rule"):
        list(mapped(_dying, range(300), 2))


PARENT = """
import sys, time
from tests.train.test_pool import _slow
from train.pool import mapped
if __name__ == "__main__":
    for process in mapped(_slow, range(1000), 2):
        print(process, flush=True)
"""


def _slow(_: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def test_no_process_outlives_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        [sys.executable, script], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, env=environ
    )
    worker = int(process.stdout.readline())
    process.kill()
    process.wait()
    end = time.monotonic() + 20
    while Path(f"/proc/{worker}").exists():
        assert time.monotonic() < end
        time.sleep(0.05)

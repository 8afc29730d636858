"""Folders that one process at a time works in."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

LOCK = ".lock"


@contextlib.contextmanager
def alone_in(place: Path, patience: float) -> Iterator[bool]:
    """Hold the folder, waiting seconds for another process that does; was it given up?

    The folder is made if it is not there; a worker that was thought dead may still be in it.
    """
    end = time.monotonic() + patience
    while not (lock := _lock_of(place)) and time.monotonic() < end:
        time.sleep(0.1)
    try:
        yield lock is not None
    finally:
        if lock:
            lock.close()


def locked(file: IO[str]) -> bool:
    """Take the lock of an open file, until it is closed; False while another process has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_of(place: Path) -> IO[str] | None:
    """The lock of a folder; None while another process has it."""
    place.mkdir(exist_ok=True)
    try:
        lock = (place / LOCK).open("a")
    except FileNotFoundError:  # the other one removes the folder when it is done
        return None
    with contextlib.suppress(FileNotFoundError):  # and its lock with it
        if locked(lock) and os.path.samestat(os.fstat(lock.fileno()), (place / LOCK).stat()):
            return lock
    lock.close()
    return None

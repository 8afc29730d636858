"""A file of JSON lines that only grows: a run is in it whole, once, or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks.track.runs import Line
from runtime import files
from runtime.errors import ConfigError


def append(path: Path, line: Line) -> bool:
    """Add a run; False where it is there already.

    The file is replaced by a copy with one line more, so that a process that is killed leaves
    the old one. Others that append at the same time wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone_in(path.parent):
        before = read_history(path) if path.exists() else []
        if any(each["run"] == line["run"] for each in before):
            return False
        lines = [json.dumps(each) + "\n" for each in (*before, line)]
        files.write_bytes(path, "".join(lines).encode())
    return True


def read_history(path: Path) -> list[Line]:
    """Oldest first, as they were added.

    Raises:
        ConfigError: a line that is not one of `append`'s.
    """
    found = []
    for number, text in enumerate(path.read_text().splitlines(), 1):
        try:
            line = json.loads(text)
            line["run"], line["time"], line["machine"], line["figures"]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{path}, line {number}: not a run ({type(error).__name__}: {error}); expected a "
                "file that python -m benchmarks.track wrote"
            ) from error
        found.append(line)
    return found


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """The lock is on the folder: the file itself is another one after each replacement."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)

"""An engine in a process of its own: how long to the first result, and how much memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.child import MALLOC, STATUS, last_line, peak_in
from runtime.errors import ToolkitError

_CODE = """
import sys
from pathlib import Path

import numpy as np

from runtime import load_engine

folder, threads, status = sys.argv[1:]
with load_engine(folder, int(threads)) as engine:
    image = np.zeros((engine.height, engine.width, 3), np.uint8)
    engine.predict(image, image)
    print("first result", flush=True)
if Path(status).exists():
    print(Path(status).read_text())
"""


def seconds_to_first_result(folder: Path, threads: int) -> float:
    """From the start of a new process until it has the maps of one pair."""
    return _run(folder, threads, {})[0]


def peak_bytes(folder: Path, threads: int) -> int | None:
    """Largest resident set of a process that loads the engine and predicts one pair.

    With glibc told to keep nothing that was freed: what was in use, not what was kept.
    None where the system does not say (it is read on Linux).
    """
    return peak_in(_run(folder, threads, MALLOC)[1])


def _run(folder: Path, threads: int, environment: Mapping[str, str]) -> tuple[float, str]:
    """Seconds until the first line, and the lines after it."""
    arguments = [str(folder.absolute()), str(threads), str(STATUS)]
    with tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-c", _CODE, *arguments],
            cwd=Path(__file__).parents[2],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process:
            assert process.stdout
            process.stdout.readline()
            seconds = time.perf_counter() - start
            rest = process.stdout.read()
        errors.seek(0)
        said = errors.read()
    if process.returncode:
        last = last_line(said, process.returncode)
        raise ToolkitError(f"{folder}: a process of its own failed: {last}")
    return seconds, rest

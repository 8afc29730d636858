"""Processes that a benchmark starts: a command's output or its own error, and its peak memory."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from runtime.errors import ConfigError, ToolkitError

STATUS = Path("/proc/self/status")
NO_STATUS = f"{STATUS}: not there; memory is measured on Linux"

MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "0"}
"""With these glibc gives freed memory back at once: a peak is what was in use, not kept.

It costs time, every process alike: seconds are there to be compared with each other.
"""


def run_module(
    what: str,
    module: str,
    arguments: Sequence[object],
    environment: Mapping[str, str] | None = None,
) -> str:
    """The standard output of `python -m module`; `environment` is added to this process's.

    Raises:
        ToolkitError: it failed; `what`, and the last line that it said.
    """
    line = [sys.executable, "-m", module, *map(str, arguments)]
    environ = {**os.environ, **(environment or {})}
    result = subprocess.run(line, env=environ, capture_output=True, text=True)
    if result.returncode:
        raise ToolkitError(f"{what}: {last_line(result.stderr, result.returncode)}")
    return result.stdout


def timed_module(
    what: str, module: str, arguments: Sequence[object]
) -> tuple[float, resource.struct_rusage]:
    """Seconds by the clock of `python -m module`, from its start to its end, and what it used.

    Raises:
        ToolkitError: as `run_module`.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ToolkitError(f"{what}: {last_line(errors, process.returncode)}")
    return seconds, usage


def last_line(said: str, code: int) -> str:
    """Of standard error, without "error: "; the exit code where nothing was said."""
    lines = said.strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else f"exit code {code}"


def own_peak() -> int:
    """Bytes of this process's largest resident set so far.

    Not `getrusage`: its figure starts with that of the process which started this one.
    Raises ConfigError where the system does not say.
    """
    try:
        peak = peak_in(STATUS.read_text())
    except OSError as error:
        raise ConfigError(NO_STATUS) from error
    assert peak is not None
    return peak


def peak_in(status: str) -> int | None:
    """Bytes of the largest resident set, from what `STATUS` holds; None where it does not say."""
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) * 1024 if lines else None

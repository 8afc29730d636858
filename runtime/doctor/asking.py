"""Python in a process of its own: what crashes, hangs or aborts there is an answer, too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What the code printed last, as JSON; or why there is nothing."""

    value: Any = None
    trouble: str | None = None


def ask(code: str, *arguments: str, seconds: float = 60.0, **environment: str) -> Answer:
    """Run code that prints a JSON value as its last line. It begins where this process runs."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": _path(), **environment},
        )
    except subprocess.TimeoutExpired:
        return Answer(trouble=f"gave no answer in {seconds:g} s")
    except OSError as error:
        return Answer(trouble=f"Python could not be started ({error.strerror})")
    if done.returncode < 0:
        return Answer(trouble=f"crashed ({_name_of(-done.returncode)})")
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        try:
            return Answer(json.loads(lines[-1]))
        except ValueError:
            pass
    said = done.stderr.strip().splitlines()
    return Answer(trouble=" ".join(said[-1].split())[:300] if said else "ended without an answer")


def _path() -> str:
    """As here: also what was put into `sys.path` by hand, and a checkout that is not installed."""
    return os.pathsep.join(each for each in sys.path if each)


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def is_there(module: str) -> bool:
    """Is it installed, whether or not it loads?"""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False

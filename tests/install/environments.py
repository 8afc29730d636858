"""Bare environments with the wheel in them, and nothing of this one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.install.wheel import REPOSITORY

TORCH = "torch==2.13.0"
"""The release that is tried in every environment with PyTorch: each is gigabytes. Its lower bound
is therefore not tried."""
LINES = 6
"""Of what a failed command said that are repeated."""


class FailedError(Exception):
    """An installation, or what was tried in it, failed; with the last lines that it said."""


@dataclass(frozen=True)
class Environment:
    """An interpreter, and the folder in which it is tried. `more` is added to its variables."""

    python: Path
    work: Path
    more: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: object, timeout: int = 1800) -> str:
        """Standard output of `python ARGUMENTS`, run in `work`."""
        more = {"XDG_CACHE_HOME": str(self.work / "cache"), **self.more}
        return call([self.python, *arguments], self.work, more, timeout)

    def versions(self) -> dict[str, str]:
        """Of every distribution that is installed there."""
        code = (
            "from importlib.metadata import distributions as d\n"
            "print(*sorted({f\"{e.metadata['Name']}=={e.version}\" for e in d()}))"
        )
        pairs = (each.partition("==") for each in self("-c", code).split())
        return {name.lower(): version for name, _, version in pairs}


def call(
    line: list[object], cwd: Path, more: Mapping[str, str] | None = None, timeout: int = 1800
) -> str:
    """Without any variable that would lead to this installation."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environ = {name: value for name, value in os.environ.items() if name not in hidden}
    environ |= {"PYTHONNOUSERSITE": "1", "OMP_NUM_THREADS": "2", **(more or {})}
    result = subprocess.run(
        list(map(str, line)), cwd=cwd, env=environ, timeout=timeout, capture_output=True, text=True
    )
    if result.returncode:
        last = (result.stderr or result.stdout).strip().splitlines()[-LINES:]
        raise FailedError(f"{line[0]} ... exit code {result.returncode}: " + " | ".join(last))
    return result.stdout


def installed_here(wheel: Path, place: Path) -> Environment:
    """This environment's libraries, with the wheel before the checkout: quick to make."""
    target, work = place / "site", place / "work"
    work.mkdir(parents=True)
    line = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target]
    call([*line, wheel], place)
    return Environment(Path(sys.executable), work, {"PYTHONPATH": str(target)})


def make(
    wheel: Path, place: Path, interpreter: Path, extras: str, lowest: bool, torch: bool = False,
    bounds: Sequence[str] = (),
) -> Environment:  # fmt: skip
    """A new environment with the wheel and `extras` ("raster,ray", or none), of the newest
    releases or of the lowest that `pyproject.toml` allows. Needs uv for the lowest.

    bounds: higher ones, for extras that need them together and cannot say so.
    """
    venv, work = place / "venv", place / "work"
    work.mkdir(parents=True)
    uv, python = shutil.which("uv"), venv / "bin" / "python"
    quick = bool(uv) and not torch
    call([uv, "venv", "-q", "-p", interpreter, venv] if quick else
         [interpreter, "-m", "venv", venv], work)  # fmt: skip
    if torch:  # by pip, which is told on some machines where a small build lies
        call([python, "-m", "pip", "install", "--quiet", TORCH], work)
    pinned = work / "constraints.txt"
    pinned.write_text("\n".join([*bounds, *([TORCH] if torch else [])]) + "\n")
    pip = [uv, "pip", "install", "--quiet", "--python", python] if uv else []
    if lowest:
        if not pip:
            raise FailedError("uv is not installed; it finds the lowest releases: pip install uv")
        project = ["-r", REPOSITORY / "pyproject.toml"]
        project += [word for extra in extras.split(",") if extra for word in ("--extra", extra)]
        ready = [] if "tensorrt" in extras else ["--only-binary", ":all:"]
        call(
            [*pip, "--resolution", "lowest-direct", *ready, "--constraint", pinned, *project], work
        )
        call([*pip, "--no-deps", wheel], work)
    else:
        pip = pip or [python, "-m", "pip", "install", "--quiet"]
        named = f"dual-hrnet-edge[{extras}] @ {wheel.as_uri()}" if extras else wheel
        call([*pip, "--constraint", pinned, named], work)
    return Environment(python, work)

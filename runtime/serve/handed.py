"""What is made of a finished map when somebody asks for it: the sheet, and labels to train with."""

from __future__ import annotations

import importlib
import threading
from importlib.util import find_spec
from pathlib import Path

from runtime.serve.errors import RefusedError
from runtime.serve.jobs import Job

_ALONE = threading.Lock()
"""A sheet of a large map takes memory: one at a time."""


def make(name: str, maps: Path, job: Job, folder: Path) -> Path:
    """sheet.html, sheet.pdf or labels.zip in `folder`; RefusedError where it cannot be."""
    with _ALONE:
        if name == "labels.zip":
            return _labels(maps, job, folder / name)
        if find_spec("runtime.sheet") is None:
            raise RefusedError(404, f"{name}: this release makes no sheets")
        sheet = importlib.import_module("runtime.sheet")
        sheet.write(maps, folder / "sheet.html", folder / "sheet.pdf")
    return folder / name


def _labels(maps: Path, job: Job, path: Path) -> Path:
    raise RefusedError(404, f"{path.name}: this release makes no labels")

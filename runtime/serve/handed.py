"""What is made of a finished map when somebody asks for it: the sheet, and labels to train with."""

from __future__ import annotations

import importlib
import threading
import zipfile
from importlib.util import find_spec
from pathlib import Path

from runtime.serve.errors import RefusedError
from runtime.serve.jobs import Job

_ALONE = threading.Lock()
"""A sheet of a large map takes memory: one at a time."""


def make(name: str, maps: Path, job: Job, folder: Path) -> Path:
    """sheet.html, sheet.pdf or labels.zip in `folder`.

    Raises RefusedError where this release has none, ConfigError where there is nothing to make
    them of, and BackendError for a library that is not installed.
    """
    module = "runtime.corrections.xbd" if name == "labels.zip" else "runtime.sheet"
    if find_spec(module) is None:
        raise RefusedError(404, f"{name}: this release does not make it")
    maker, path = importlib.import_module(module), folder / name
    with _ALONE:
        if name == "labels.zip":
            labels = folder / "labels"
            maker.export(maps, labels, Path(job.pre.path), Path(job.post.path))
            _pack(labels, path)
        elif name == "sheet.html":
            maker.write(maps, path, None, job.name)
        else:
            maker.write(maps, None, path, job.name)
    return path


def _pack(folder: Path, path: Path) -> None:
    """Stored as they are: images are compressed already."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for each in sorted(folder.rglob("*")):
            if each.is_file():
                archive.write(each, each.relative_to(folder))

"""What people made beside a map outlasts the map: another one in its place does not remove it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from runtime import records

NAMES = ("corrections.gpkg", "sample.gpkg", "estimate.json")
"""Files that people, and commands after them, add to a finished map."""


def move_aside(path: Path) -> Path:
    """Rename a file after this moment, and what SQLite has beside it; its new name."""
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H%M%SZ")
    target, number = path.with_name(f"{path.stem}-{now}{path.suffix}"), 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.stem}-{now}-{number}{path.suffix}")
    for ending in ("-journal", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(target.with_name(target.name + ending))
    path.rename(target)
    return target


def make_room(folder: Path, sha256: str) -> list[str]:
    """Move aside what is of another map than the one whose buildings file has this digest.

    Notes of it, for a person.
    """
    return [
        f"{path.name} is of the map that was there before; it is kept as {move_aside(path).name}"
        for name in NAMES
        if (path := folder / name).exists() and origin(path) != sha256
    ]


def carry(old: Path, new: Path, sha256: str) -> list[str]:
    """Copy what people made beside the map in `old` to the one in `new`, which replaces it.

    sha256: of the buildings file of the new one. Notes of what is of the old one.
    """
    for path in sorted(_made(old)):
        with contextlib.suppress(sqlite3.Error):
            if path.suffix == ".gpkg":
                with (
                    contextlib.closing(sqlite3.connect(path, timeout=30)) as source,
                    contextlib.closing(sqlite3.connect(new / path.name)) as target,
                ):
                    source.backup(target)
                continue
        (new / path.name).write_bytes(path.read_bytes())
    return make_room(new, sha256)


def origin(path: Path) -> str | None:
    """The digest of the buildings file that it was made for; None where it does not say."""
    if path.suffix == ".json":
        try:
            content: Any = records.load_json(path)
        except (OSError, records.RecordError):
            return None
        return content.get("map_sha256") if isinstance(content, dict) else None
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as base:
            row = base.execute("SELECT sha256 FROM map").fetchone()
    except sqlite3.Error:
        return None
    return str(row[0]) if row else None


def _made(folder: Path) -> Iterator[Path]:
    """Those files, and what was moved aside of them."""
    for name in NAMES:
        stem, _, suffix = name.rpartition(".")
        if (folder / name).exists():
            yield folder / name
        yield from folder.glob(f"{stem}-*.{suffix}")

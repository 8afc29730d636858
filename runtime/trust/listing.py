"""The files of an engine folder, as far as they can be vouched for: no links, no special files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from runtime.errors import SignatureError
from runtime.trust import SIGNATURE

MOST_FILES = 1000
DEEPEST = 8


def files_in(folder: Path) -> set[str]:
    """Paths in the folder, with `/`, but that of the signature; folders without files are passed.

    Raises:
        SignatureError: a symbolic link, a pipe, a device, or more than an engine has.
    """
    found: set[str] = set()
    _walk(folder, "", found, 0)
    found.discard(SIGNATURE)
    return found


def _walk(folder: Path, prefix: str, found: set[str], depth: int) -> None:
    with os.scandir(folder / prefix) as entries:
        for entry in entries:
            name = f"{prefix}{entry.name}"
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode) and depth < DEEPEST:
                _walk(folder, f"{name}/", found, depth + 1)
            elif stat.S_ISREG(mode) and len(found) < MOST_FILES:
                found.add(name)
            else:
                raise SignatureError(f"{folder / name}: {_what(mode)}; remove it")


def _what(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "is a symbolic link, and what it leads to is not signed"
    if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
        return "is more than an engine folder holds"
    return "is no file, and cannot be signed"

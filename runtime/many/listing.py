"""A few names out of many, for a line that a person reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

FIRST = 5


def name_some(paths: Sequence[Path], what: str) -> str:
    """ "7 files (a.txt, b.txt, ...)"; names that would break the line or lie are quoted."""
    names = [shown(path.name) for path in paths[:FIRST]]
    if len(paths) > FIRST:
        names.append("...")
    return f"{len(paths)} {what}{'' if len(paths) == 1 else 's'} ({', '.join(names)})"


def shown(name: str) -> str:
    """As it is, or with what is not printable, or blank at an end, made visible."""
    return name if name.isprintable() and name == name.strip() else ascii(name)

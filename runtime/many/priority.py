"""Which of the pairs that wait are mapped first: INBOX/priority.txt, read anew at every look.

Each line is a name, or a pattern of names as a shell has them (`hospital-*`); pairs of an earlier
line come before those of a later one, and all of them before the rest. `#` begins a comment.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from pathlib import Path

PRIORITY = "priority.txt"

MOST_BYTES = 1 << 20


def has_priorities(inbox: Path) -> bool:
    return (inbox / PRIORITY).exists()


def ranks(inbox: Path, warn: Callable[[str], None]) -> Callable[[str], int]:
    """A function of a pair's name: smaller comes first.

    A file that cannot be read is told to `warn`, and then all pairs count the same.
    """
    patterns: list[str] = []
    path = inbox / PRIORITY
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES} bytes")
        lines = content.decode("utf-8-sig").splitlines()
        patterns = [text for line in lines if (text := line.partition("#")[0].strip())]
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        warn(f"{path}: {error}; no pair goes before others; expected a pattern of names a line")

    def rank(name: str) -> int:
        found = (n for n, pattern in enumerate(patterns) if fnmatch.fnmatchcase(name, pattern))
        return next(found, len(patterns))

    return rank

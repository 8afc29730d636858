"""How far the pair is that is being mapped, by what is on disk.

It is asked from another thread: the one that maps may hang in a library, and then has
nothing to say.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from runtime import records

JOURNAL = "journal.json"


class Progress:
    """Of one pair, from now on. `place`: the folder where its maps are made."""

    def __init__(self, name: str, place: Path) -> None:
        self.name = name
        self._place = place
        self._begun, self._since = time.monotonic(), now()
        self._moved, self._moved_at = self._begun, self._since
        self._state: list[tuple[str, int, int]] = []

    def look(self) -> None:
        """Has anything been written since the last look?"""
        state = self._written()
        if state != self._state:
            self._state, self._moved, self._moved_at = state, time.monotonic(), now()

    @property
    def idle(self) -> float:
        """Seconds without progress, by the looks."""
        return time.monotonic() - self._moved

    def told(self) -> dict[str, Any]:
        done, of = self._rows()
        return {
            "name": self.name,
            "since": self._since,
            "seconds": round(time.monotonic() - self._begun, 1),
            "last_progress": self._moved_at,
            "pixel_rows_done": done,
            "pixel_rows": of,
        }

    def _written(self) -> list[tuple[str, int, int]]:
        found = []
        for path in self._place.rglob("*"):
            try:
                status = path.lstat()
            except OSError:  # it went meanwhile
                continue
            found.append((str(path), status.st_size, status.st_mtime_ns))
        return sorted(found)

    def _rows(self) -> tuple[int | None, int | None]:
        """Of the scene, mapped and in all; None before the first."""
        for path in self._place.glob(f"*/*/{JOURNAL}"):
            try:
                content = records.load_json(path)
                return sum(content["heights"]), content.get("height")
            except (OSError, records.RecordError, KeyError, TypeError, AttributeError):
                continue
        return None, None


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")

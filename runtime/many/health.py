"""What a watch tells of itself, in a file that others may read at any time."""

from __future__ import annotations

import json
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from runtime.files import sync

HEALTH = "health.json"
REMEMBERED = 1000
"""Pairs whose latency counts."""


class Health:
    """OUTBOX/health.json: rewritten whole, after each pair and on a beat of its own.

    A long raster does not silence it: the beat has its own thread. `warn` is told when the
    file cannot be written; that alone ends nothing.
    """

    def __init__(
        self, outbox: Path, engine: Path, heartbeat: float, warn: Callable[[str], None]
    ) -> None:
        self.waiting = 0
        self.trouble: str | None = None
        self._outbox, self._engine, self._warn = outbox, engine, warn
        self._started = _now()
        self._done = self._failed = 0
        self._latency_ms: deque[float] = deque(maxlen=REMEMBERED)
        self._last_error: str | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._beat = threading.Thread(target=self._beating, args=(heartbeat,), daemon=True)

    def __enter__(self) -> Health:
        self.write()
        self._beat.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._beat.join()
        self.write()

    def done(self, milliseconds: float) -> None:
        self._done += 1
        self._latency_ms.append(milliseconds)

    def failed(self, reason: str) -> None:
        self._failed += 1
        self._last_error = reason

    def in_trouble(self, error: str) -> None:
        """No pair can be mapped now; `trouble` is None again when one was."""
        self.trouble = self._last_error = error

    def write(self) -> None:
        # Always the same name, so that a killed watch leaves no more than the next one replaces.
        temporary = self._outbox / f".{HEALTH}.partial"
        with self._lock:
            try:
                temporary.write_text(json.dumps(self._content(), indent=2) + "\n")
                sync(temporary)
                temporary.replace(self._outbox / HEALTH)
            except OSError as error:
                temporary.unlink(missing_ok=True)
                self._warn(f"{self._outbox / HEALTH}: {error.strerror or error}")

    def _beating(self, heartbeat: float) -> None:
        while not self._ended.wait(heartbeat):
            self.write()

    def _content(self) -> dict[str, Any]:
        state = "stopped" if self._ended.is_set() else "trouble" if self.trouble else "running"
        latency = sorted(self._latency_ms.copy())
        return {
            "state": state,
            "trouble": self.trouble,
            "pid": os.getpid(),
            "started": self._started,
            "updated": _now(),
            "engine": str(self._engine),
            "done": self._done,
            "failed": self._failed,
            "waiting": self.waiting,
            "latency_ms": {
                "pairs": len(latency),
                **{f"p{each}": percentile(latency, each) for each in (50, 90, 99)},
            },
            "last_error": self._last_error,
        }


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """By nearest rank: the smallest value that `percent` of all do not exceed."""
    if not ordered:
        return None
    return round(ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)], 3)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")

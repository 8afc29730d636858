"""What a watch tells of itself, in a file that others may read at any time."""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from runtime.files import sync
from runtime.many.listing import FIRST, shown
from runtime.many.progress import Progress, now
from runtime.many.systemd import Service

HEALTH = "health.json"
REMEMBERED = 1000
"""Pairs whose latency counts."""
STALL = 600.0
"""Seconds without progress after which a pair counts as stalled."""


class Health:
    """OUTBOX/health.json: rewritten whole, after each pair and on a beat of its own.

    A long raster does not silence it: the beat has its own thread. `warn` is told when the
    file cannot be written, and when a pair stalls; that alone ends nothing. `service`: the manager
    that started the process, which is told that it lives while no pair stalls.
    """

    def __init__(
        self,
        outbox: Path,
        engine: Path,
        heartbeat: float,
        warn: Callable[[str], None],
        stall: float = STALL,
        service: Service | None = None,
    ) -> None:
        self.waiting = 0
        self.ignored: Sequence[Path] = ()
        self.trouble: str | None = None
        self._outbox, self._engine, self._warn = outbox, engine, warn
        self._started = now()
        self._done = self._failed = self._with_holes = 0
        self._stall = stall
        self._pair: Progress | None = None
        self._stalled = False
        self._latency_ms: deque[float] = deque(maxlen=REMEMBERED)
        self._last_error: str | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._service = service or Service({})
        beat = min(heartbeat, self._service.beat or heartbeat)
        self._beat = threading.Thread(target=self._beating, args=(beat,), daemon=True)

    def __enter__(self) -> Health:
        self.write()
        self._service.ready()
        self._beat.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._service.ending()
        self._ended.set()
        self._beat.join()
        self.write()

    def done(self, milliseconds: float) -> None:
        self._done += 1
        self._latency_ms.append(milliseconds)

    def begun(self, name: str, place: Path) -> None:
        """`place`: the folder where its maps are made."""
        self._stalled = False
        self._pair = Progress(name, place)
        self.write()

    def ended(self) -> None:
        self._pair, self._stalled = None, False

    def with_holes(self) -> None:
        """A pair is done, but for parts that could not be computed."""
        self._with_holes += 1

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
            self._look()
            # A pair that hangs is what a watchdog is for; a disk that is full is not.
            told = self._service.silent if self._stalled else self._service.alive
            told(f"{self._state()}: {self._done} mapped, {self._failed} failed")
            try:
                temporary.write_text(json.dumps(self._content(), indent=2) + "\n")
                sync(temporary)
                temporary.replace(self._outbox / HEALTH)
            except OSError as error:
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)
                self._warn(f"{self._outbox / HEALTH}: {error.strerror or error}")

    def _beating(self, heartbeat: float) -> None:
        while not self._ended.wait(heartbeat):
            self.write()

    def _look(self) -> None:
        pair = self._pair  # the other thread may end it meanwhile
        if pair is None:
            return
        pair.look()
        was_stalled, self._stalled = self._stalled, pair.idle > self._stall
        if self._stalled and not was_stalled:
            self._warn(
                f"{shown(pair.name)}: no progress for {self._stall:g} s; if the processor or the "
                "GPU hangs, end this watch and start it again, no pair is lost"
            )

    def _state(self) -> str:
        if self._ended.is_set():
            return "stopped"
        if self._stalled:
            return "stalled"
        return "trouble" if self.trouble else "running"

    def _content(self) -> dict[str, Any]:
        pair = self._pair
        latency = sorted(self._latency_ms.copy())
        return {
            "state": self._state(),
            "trouble": self.trouble,
            "pair": pair.told() if pair else None,
            "pid": os.getpid(),
            "started": self._started,
            "updated": now(),
            "engine": str(self._engine),
            "done": self._done,
            "failed": self._failed,
            "with_holes": self._with_holes,
            "waiting": self.waiting,
            "ignored": len(self.ignored),
            "ignored_first": [shown(each.name) for each in self.ignored[:FIRST]],
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

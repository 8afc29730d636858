"""What is tried again and when: a pair whose mapping fails for a reason that may not be its own.

A full disk, an engine that fails and memory that is short are waited for; a pair that finds no
memory, or makes the engine fail while others are mapped, is given up in the end.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from runtime.engine import Engine
from runtime.errors import BackendError, EngineError, reason
from runtime.many.outbox import counted, is_unfinished, map_once
from runtime.many.pairs import Pair
from runtime.options import MapOptions
from runtime.scene.work import Told

PATIENCE = (1.0, 60.0)
"""Seconds until the first next try, doubled each time, and the most."""
DEATHS = 10
"""How often a pair is begun that ends the process each time: more often than power fails."""
TRIES = 8
"""How often a pair is tried that finds no memory, or alone makes the engine fail."""


def map_counted(
    engine: Engine,
    pair: Pair,
    outbox: Path,
    options: MapOptions,
    *,
    redo: bool = False,
    told: Told | None = None,
) -> str | None:
    """`outbox.map_once`, but not of a pair that ends the process each time."""
    with counted(outbox, pair.name) as times:
        # A raster that gets further each time may be cut off by the night as often as it will.
        if times > DEATHS and not is_unfinished(outbox, pair.name):
            return f"{pair.name}: the process died {DEATHS} times in a row while it mapped it"
        return map_once(engine, pair, outbox, options, redo=redo, told=told)


@dataclass
class _Trouble:
    """Of one pair. `mapped_before`: pairs that were mapped when it began.

    last: what it was, if it may be the pair's own.
    """

    tries: int
    not_before: float
    mapped_before: int
    last: str | None = None


class Troubles:
    """Of the pairs, by name. `mapped`: pairs that were mapped so far."""

    def __init__(self) -> None:
        self.mapped = 0
        self._of: dict[str, _Trouble] = {}

    def keep(self, names: Collection[str]) -> None:
        """And forget those of others."""
        self._of = {name: each for name, each in self._of.items() if name in names}

    def tries(self, name: str) -> int | None:
        """How often it was tried; None: its time for the next has not come."""
        trouble = self._of.get(name)
        if trouble is None:
            return 0
        return trouble.tries if trouble.not_before <= time.monotonic() else None

    def given_up(self, name: str) -> str | None:
        """Why a pair is not tried once more, if so."""
        trouble = self._of.get(name)
        if trouble and trouble.tries >= TRIES and trouble.last:
            return (
                f"{name}: {trouble.last}, {TRIES} times in a row, while others were mapped or "
                "memory was short"
            )
        return None

    def over(self, name: str) -> None:
        self._of.pop(name, None)

    def postpone(self, name: str, error: Exception) -> None:
        """This one last from now on, so that it blocks no other."""
        trouble = self._of.get(name) or _Trouble(0, 0.0, self.mapped)
        trouble.tries += 1
        wait = min(PATIENCE[0] * 2.0 ** (trouble.tries - 1), PATIENCE[1])
        trouble.not_before = time.monotonic() + wait
        # An engine that fails with every pair is not this one's fault, nor is a file system.
        alone = self.mapped > trouble.mapped_before
        theirs = isinstance(error, MemoryError) or (
            alone and isinstance(error, (EngineError, BackendError))
        )
        trouble.last = reason(error) if theirs else None
        self._of[name] = trouble

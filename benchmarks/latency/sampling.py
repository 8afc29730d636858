"""How samples are taken: how many, and by turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from runtime.engine import Engine

WARMUP = 3
SECONDS = 2.5
"""Time spent on one figure where nothing else is asked for."""
MIN_QUERIES, MAX_QUERIES = 10, 10_000
BURST, SLOW = 8, 0.05
"""Calls a turn, of those that take less than so many seconds."""
CALLS = 4
"""Of what takes seconds: a map, a new process."""


@dataclass(frozen=True)
class Effort:
    """When a figure has samples enough: after `rounds`, or after `seconds` of them."""

    seconds: float = SECONDS
    rounds: int | None = None

    def enough(self, count: int, total: float) -> bool:
        """count, total: of the samples so far, and their sum in seconds."""
        if self.rounds:
            return count >= self.rounds
        return count >= MAX_QUERIES or (count >= MIN_QUERIES and total >= self.seconds)

    @property
    def calls(self) -> int:
        """Samples of what takes seconds."""
        return min(self.rounds or CALLS, CALLS)


def take_turns(calls: Mapping[str, Callable[[], object]], effort: Effort) -> dict[str, list[float]]:
    """Seconds of each call, until the fastest has samples enough.

    A turn runs every call, and starts with another than the last turn did. What slows the
    machine down for a while then slows all of them, and their order stays true where one
    holds the other; measured one after another, a drift of the machine could turn it. Calls
    faster than `SLOW` run `BURST` times a turn after one that is not counted: it would find
    the caches as another call left them.
    """
    names = list(calls)
    for _ in range(WARMUP):
        fastest = min(_timed(calls[name]) for name in names)
    burst, unseen = (1, 0) if fastest > SLOW else (BURST, 1)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    turn = 0
    while not effort.enough(len(seconds[names[0]]), min(map(sum, seconds.values()))):
        first = turn % len(names)
        count = min(burst, (effort.rounds or MAX_QUERIES) - len(seconds[names[0]]))
        for name in names[first:] + names[:first]:
            taken = [_timed(calls[name]) for _ in range(unseen + count)]
            seconds[name] += taken[unseen:]
        turn += 1
    return seconds


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def stream(engine: Engine, pre: np.ndarray, post: np.ndarray, effort: Effort) -> list[float]:
    """Seconds from one answer of `Engine.predict_many` to the next, each of one batch.

    Their sum is the time for all pairs, from the first one given to the last answer, so the
    filling of a pipeline counts.
    """
    seconds: list[float] = []
    for _ in engine.predict_many([(pre, post)] * WARMUP):
        pass
    given, total = 0, 0.0

    def queries():
        nonlocal given
        while not effort.enough(given, total):
            given += 1
            yield pre, post

    last = time.perf_counter()
    for _ in engine.predict_many(queries()):
        now = time.perf_counter()
        seconds.append(now - last)
        total += seconds[-1]
        last = now
    return seconds

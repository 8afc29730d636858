"""How samples are taken: how many, by turns, and spread over a whole run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

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
"""At least, of what takes seconds: a map, a new process."""
VISITS = 10
"""In how many parts a figure's samples are taken."""


@dataclass(frozen=True)
class Effort:
    """When a figure has samples enough: after `rounds`, or after `seconds` of them."""

    seconds: float = SECONDS
    rounds: int | None = None
    queries: int = MIN_QUERIES
    """At least, where `rounds` is not given."""

    def enough(self, count: int, total: float) -> bool:
        """count, total: of the samples so far, and their sum in seconds."""
        if self.rounds is not None:
            return count >= self.rounds
        return count >= MAX_QUERIES or (count >= self.queries and total >= self.seconds)

    def until(self, visit: int) -> Effort:
        """What all visits up to this one make together; the first is 1, the last `VISITS`."""

        def share(count: int) -> int:
            return math.ceil(count * visit / VISITS)

        rounds = None if self.rounds is None else share(self.rounds)
        return Effort(self.seconds * (visit / VISITS), rounds, share(self.queries))

    @property
    def of_long_calls(self) -> Effort:
        """The same time, with fewer samples."""
        rounds = None if self.rounds is None else min(self.rounds, CALLS)
        return replace(self, rounds=rounds, queries=CALLS)


class Sampled(Protocol):
    """Figures whose samples are taken in `VISITS` parts."""

    seconds: dict[str, list[float]]
    """By figure; equally many of each."""

    def go_on(self, visit: int) -> None:
        """Take samples until there are as many as all visits up to this one make together."""


Key = TypeVar("Key")


def visit_all(sampled: Mapping[Key, Sampled]) -> dict[Key, Exception]:
    """All samples of all figures, each figure's spread over the whole run; gives what failed.

    A machine whose speed wanders over minutes, as a virtual one's does, then shows that in every
    figure's samples, where an interval can be drawn from it. Taken in one stretch, it would be a
    difference between two runs that neither run's samples know of.
    """
    failed: dict[Key, Exception] = {}
    for visit in range(1, VISITS + 1):
        for key, each in sampled.items():
            if key not in failed:
                try:
                    each.go_on(visit)
                except Exception as error:  # a figure less; the others are not lost
                    failed[key] = error
    return failed


class Turns:
    """Calls that take turns.

    A turn runs every call, and starts with another than the last turn did. What slows the
    machine down for a while then slows all of them, and their order stays true where one
    holds the other; measured one after another, a drift of the machine could turn it. Calls
    faster than `SLOW` run `BURST` times a turn after one that is not counted: it would find
    the caches as another call left them.
    """

    def __init__(
        self, calls: Mapping[str, Callable[[], object]], effort: Effort, warmup: int = WARMUP
    ) -> None:
        self.calls, self.effort = calls, effort
        self.seconds: dict[str, list[float]] = {name: [] for name in calls}
        self._turn = 0
        fastest = SLOW
        for _ in range(warmup):
            fastest = min(_timed(call) for call in calls.values())
        self._burst, self._unseen = (1, 0) if fastest >= SLOW else (BURST, 1)

    def go_on(self, visit: int) -> None:
        """Until the fastest has samples enough."""
        effort, names = self.effort.until(visit), list(self.calls)
        while not effort.enough(self._count, min(map(sum, self.seconds.values()))):
            first = self._turn % len(names)
            left = (effort.rounds or MAX_QUERIES) - self._count
            for name in names[first:] + names[:first]:
                taken = [
                    _timed(self.calls[name]) for _ in range(self._unseen + min(self._burst, left))
                ]
                self.seconds[name] += taken[self._unseen :]
            self._turn += 1

    @property
    def _count(self) -> int:
        return len(next(iter(self.seconds.values())))


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class Stream:
    """From one answer of `Engine.predict_many` to the next, each of one batch.

    A visit's sum is the time for all its pairs, from the first one given to the last answer, so
    the filling of a pipeline counts. It has `MIN_QUERIES` batches or more, where no number of
    rounds is asked for, so that the filling does not count for much.
    """

    def __init__(
        self, name: str, engine: Engine, pre: np.ndarray, post: np.ndarray, effort: Effort
    ) -> None:
        self.seconds: dict[str, list[float]] = {name: []}
        self._taken = self.seconds[name]
        self._engine, self._pair, self._effort = engine, (pre, post), effort
        for _ in engine.predict_many([self._pair] * WARMUP):
            pass

    def go_on(self, visit: int) -> None:
        effort, before = self._effort.until(visit), len(self._taken)
        total = sum(self._taken)
        if effort.enough(before, total):
            return
        given, least = 0, 1 if effort.rounds else MIN_QUERIES

        def queries() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            nonlocal given
            while given < least or not effort.enough(before + given, total):
                given += 1
                yield self._pair

        last = time.perf_counter()
        for _ in self._engine.predict_many(queries()):
            now = time.perf_counter()
            self._taken.append(now - last)
            total += now - last
            last = now

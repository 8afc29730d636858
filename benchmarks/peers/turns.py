"""Calls that are to be compared take turns, so that a slow minute of the machine is everybody's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

PAUSE = 0.3
"""Seconds between two calls, in which one library's threads stop spinning for work."""


def take_turns(
    calls: Mapping[str, Callable[[], Any]], rounds: int, pause: float = PAUSE
) -> dict[str, list[float]]:
    """Seconds of each call, by name; every call runs once a round, after one round unseen."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            time.sleep(pause)
            start = time.perf_counter()
            call()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds

"""The latency chart as numbers: bars, whiskers and ticks in per cent of its width.

The page draws them with CSS, so that one chart is right on a phone and on a desktop,
in light and in dark, and its labels stay text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.latency.figures import SCOPES
from benchmarks.report.figures import EngineFigures

_STEPS = (1, 2, 2.5, 5, 10)
_TICKS = 4


@dataclass(frozen=True)
class Bar:
    """p50 with a whisker to p90; `width` and `whisker` in per cent of the chart."""

    scope: str
    p50_ms: float
    p90_ms: float
    width: float
    whisker: float


@dataclass(frozen=True)
class Row:
    """An engine; no bars where it was not run."""

    name: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Tick:
    label: str
    at: float


@dataclass(frozen=True)
class LatencyChart:
    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]


def latency_chart(engines: Sequence[EngineFigures]) -> LatencyChart | None:
    """None where no engine was timed."""
    largest = max((x.p90 * 1e3 for each in engines for x in each.latency.values()), default=0.0)
    if largest == 0:
        return None
    step = nice_step(largest)
    full = step * -(-largest // step)
    ticks = [Tick(f"{k * step:g}", 100 * k * step / full) for k in range(round(full / step) + 1)]
    rows = [
        Row(
            each.name,
            tuple(
                Bar(
                    scope,
                    found.p50 * 1e3,
                    found.p90 * 1e3,
                    100 * found.p50 * 1e3 / full,
                    100 * (found.p90 - found.p50) * 1e3 / full,
                )
                for scope in SCOPES
                if (found := each.latency.get(scope)) is not None
            ),
        )
        for each in engines
    ]
    return LatencyChart(tuple(rows), tuple(ticks))


def nice_step(largest: float) -> float:
    """A round distance between ticks that gives about `_TICKS` of them up to `largest`."""
    power = 10.0 ** len(str(int(largest)))
    while power * _STEPS[0] > largest / _TICKS:
        power /= 10
    return next(power * step for step in _STEPS if power * step >= largest / _TICKS)

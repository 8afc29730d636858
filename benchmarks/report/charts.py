"""Bar charts as numbers: bars, whiskers and ticks in per cent of a chart's width.

The page draws them with CSS, so that one chart is right on a phone and on a desktop,
in light and in dark, and its labels stay text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.latency.figures import END_TO_END, ENGINE, Latency
from benchmarks.report.figures import EngineFigures

_STEPS = (1, 2, 2.5, 5, 10)
_TICKS = 4
_DRAWN = (ENGINE, END_TO_END)
"""Scopes in the latency chart; the table has all."""


@dataclass(frozen=True)
class Bar:
    """A value with a whisker to another; `width` and `whisker` in per cent of the chart."""

    what: str
    text: str
    width: float
    whisker: float = 0.0


@dataclass(frozen=True)
class Row:
    """No bars where nothing was measured; `note` beside the name, `tone` of its bars."""

    name: str
    bars: tuple[Bar, ...]
    note: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Tick:
    label: str
    at: float


@dataclass(frozen=True)
class BarChart:
    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]


def latency_chart(engines: Sequence[EngineFigures]) -> BarChart | None:
    """p50 with a whisker to p90, milliseconds. None where no engine was timed."""
    largest = max((x.p90 * 1e3 for e in engines for x in _drawn(e)), default=0.0)
    if largest == 0:
        return None
    full, ticks = _axis(largest)

    def bar(scope: str, p50: float, p90: float) -> Bar:
        return Bar(scope, f"{p50:.1f} ms", 100 * p50 / full, 100 * (p90 - p50) / full)

    rows = [
        Row(e.name, tuple(bar(x.scope, x.p50 * 1e3, x.p90 * 1e3) for x in _drawn(e)))
        for e in engines
    ]
    return BarChart(tuple(rows), ticks)


def peers_chart(peers: dict[str, Any], scope: str) -> BarChart | None:
    """Medians of one scope, milliseconds, in the record's order."""
    figures = [each for each in peers["figures"] if each["scope"] == scope]
    if not figures:
        return None
    full, ticks = _axis(max(each["median_s"] for each in figures) * 1e3)
    rows = []
    for each in figures:
        ms = each["median_s"] * 1e3
        text = f"{ms:,.4g} ms · {each['faster']:.2f}×"
        note = each["group"]
        if each["label_agreement"] is not None and each["label_agreement"] < 1:
            note += f" · {each['label_agreement']:.2%} same label"
        bars = (Bar(scope, text, 100 * ms / full),)
        rows.append(Row(each["name"], bars, note, "" if each["group"] == "engine" else "peer"))
    return BarChart(tuple(rows), ticks)


def drawn_scopes(engines: Sequence[EngineFigures]) -> list[str]:
    """Of the latency chart, in its order."""
    return [scope for scope in _DRAWN if any(scope in each.latency for each in engines)]


def _drawn(engine: EngineFigures) -> list[Latency]:
    return [engine.latency[scope] for scope in _DRAWN if scope in engine.latency]


def _axis(largest: float) -> tuple[float, tuple[Tick, ...]]:
    """Where the axis ends, and its ticks."""
    step = nice_step(largest)
    full = step * -(-largest // step)
    count = round(full / step) + 1
    return full, tuple(Tick(f"{k * step:g}", 100 * k * step / full) for k in range(count))


def nice_step(largest: float) -> float:
    """A round distance between ticks that gives about `_TICKS` of them up to `largest`."""
    power = 10.0 ** len(str(int(largest)))
    while power * _STEPS[0] > largest / _TICKS:
        power /= 10
    return next(power * step for step in _STEPS if power * step >= largest / _TICKS)

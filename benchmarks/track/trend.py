"""The trend of each figure, one small panel for each."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.track.runs import Line
from runtime import files
from runtime.errors import ConfigError

COLUMNS = 3
_PANEL = 3.2, 2.2
"""Inches."""


@dataclass
class Series:
    """One figure on one machine, by time. p90 is None where it is one number."""

    machine: str
    unit: str
    times: list[datetime] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p90: list[float | None] = field(default_factory=list)


def series_of(history: Sequence[Line]) -> dict[str, list[Series]]:
    """By the figure's name; on a machine that is another one it is another series."""
    found: dict[str, dict[str, Series]] = {}
    for line in sorted(history, key=lambda each: each["time"]):
        machine = ", ".join(f"{value}" for value in line["machine"].values() if value)
        for figure in line["figures"]:
            machines = found.setdefault(figure["name"], {})
            one = machines.setdefault(machine, Series(machine, figure["unit"]))
            one.times.append(datetime.fromisoformat(line["time"]))
            one.p50.append(figure["p50"])
            one.p90.append(figure["p90"])
    return {name: list(machines.values()) for name, machines in sorted(found.items())}


def draw(history: Sequence[Line], path: Path) -> None:
    """Medians by time, with a stroke to the 90th percentile; one colour a machine.

    path: its suffix is the format. Raises ConfigError where there is nothing to draw.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    panels = series_of(history)
    if not panels:
        raise ConfigError("the history holds no figure; add a run first")
    machines = list(dict.fromkeys(one.machine for each in panels.values() for one in each))
    colours = {machine: f"C{index}" for index, machine in enumerate(machines)}
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(_PANEL[0] * columns, _PANEL[1] * rows),
        squeeze=False,
        layout="constrained",
    )
    span = _span([time for each in panels.values() for one in each for time in one.times])
    for axis, name in zip(axes.flat, panels, strict=False):
        _panel(axis, name, panels[name], colours)
        axis.set_xlim(*span)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    if len(machines) > 1:
        handles = [plt.Line2D([], [], color=colour) for colour in colours.values()]
        figure.legend(handles, machines, loc="outside lower center", fontsize=7, frameon=False)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format=path.suffix[1:].lower())
    plt.close(figure)


def _panel(axis: Any, name: str, series: Sequence[Series], colours: dict[str, str]) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    in_ms = series[0].unit == "s"
    factor, highest = (1000 if in_ms else 1), 0.0
    for one in series:
        colour = colours[one.machine]
        low = [factor * value for value in one.p50]
        high = [factor * (p90 or p50) for p50, p90 in zip(one.p50, one.p90, strict=True)]
        axis.plot(one.times, low, marker="o", markersize=3, linewidth=1, color=colour)
        axis.vlines(one.times, low, high, color=colour, alpha=0.35, linewidth=3)
        highest = max(highest, *high)
    axis.set_title(textwrap.fill(name, 38), fontsize=8, loc="left")
    axis.set_ylabel("ms" if in_ms else series[0].unit, fontsize=7)
    axis.set_ylim(0, 1.15 * highest if in_ms else 1)
    locator = AutoDateLocator(minticks=2, maxticks=4)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axis.tick_params(labelsize=7)
    axis.xaxis.get_offset_text().set_fontsize(7)
    axis.grid(alpha=0.25, linewidth=0.5)
    axis.spines[["top", "right"]].set_visible(False)


def _span(times: Sequence[datetime]) -> tuple[datetime, datetime]:
    """The same for all panels, with a margin; an hour where there is one time alone."""
    margin = (max(times) - min(times)) / 20 or timedelta(minutes=30)
    return min(times) - margin, max(times) + margin

"""The trend of each figure, one small panel for each."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.tracking.runs import Line
from runtime import files
from runtime.errors import ConfigError

COLUMNS = 3
_PANEL = 3.2, 2.2
"""Inches."""


@dataclass
class Series:
    """One figure on one machine, by time. p90 is None where it is one number."""

    name: str
    unit: str
    times: list[datetime] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p90: list[float | None] = field(default_factory=list)


def series_of(history: Sequence[Line]) -> dict[str, list[Series]]:
    """By the figure's name; a machine that is another one begins another line."""
    found: dict[str, dict[str, Series]] = {}
    for line in sorted(history, key=lambda each: each["time"]):
        for figure in line["figures"]:
            machines = found.setdefault(figure["name"], {})
            one = machines.setdefault(
                str(sorted(line["machine"].items())), Series(figure["name"], figure["unit"])
            )
            one.times.append(datetime.fromisoformat(line["time"]))
            one.p50.append(figure["p50"])
            one.p90.append(figure["p90"])
    return {name: list(machines.values()) for name, machines in found.items()}


def draw(history: Sequence[Line], path: Path) -> None:
    """The median as a line, up to the 90th percentile as a band; one colour a machine."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    panels = series_of(history)
    if not panels:
        raise ConfigError("the history holds no figure; add a run first")
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(_PANEL[0] * columns, _PANEL[1] * rows),
        squeeze=False,
        layout="constrained",
    )
    for axis, name in zip(axes.flat, panels, strict=False):
        _panel(axis, name, panels[name])
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format=path.suffix[1:].lower())
    plt.close(figure)


def _panel(axis: Any, name: str, machines: Sequence[Series]) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    milliseconds = machines[0].unit == "s"
    factor = 1000 if milliseconds else 1
    for one in machines:
        p50 = [factor * value for value in one.p50]
        (line,) = axis.plot(one.times, p50, marker="o", markersize=3, linewidth=1)
        if all(value is not None for value in one.p90):
            p90 = [factor * value for value in one.p90]  # type: ignore[operator]
            axis.fill_between(one.times, p50, p90, color=line.get_color(), alpha=0.2, linewidth=0)
    axis.set_title(textwrap.fill(name, 38), fontsize=8, loc="left")
    axis.set_ylabel("ms" if milliseconds else machines[0].unit, fontsize=7)
    top = max(
        factor * (high or low)
        for one in machines
        for low, high in zip(one.p50, one.p90, strict=True)
    )
    axis.set_ylim(0, 1.15 * top if milliseconds else 1)
    locator = AutoDateLocator(minticks=2, maxticks=4)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axis.tick_params(labelsize=7)
    axis.xaxis.get_offset_text().set_fontsize(7)
    axis.grid(alpha=0.25, linewidth=0.5)
    axis.spines[["top", "right"]].set_visible(False)

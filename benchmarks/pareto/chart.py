"""The chart: seconds per megapixel across, score up, area by memory, colour by precision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.pareto.front import seconds_per_megapixel
from benchmarks.svg import INK, PALETTE, inline, style
from runtime.errors import ConfigError
from runtime.files import replacing, write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GIB = 2**30
COLOURS = dict(zip(("fp32", "int8", "fp16"), PALETTE, strict=False))

INCHES = (5.6, 5.0)
"""At 380 pixels its text is then 10 pixels high."""

LARGEST = 420.0
"""Area of the marker of the largest peak, in points squared."""

LEVELS = 4
"""Heights at which points without a score stand; they mean nothing."""

STYLE: Any = {**style(), "font.size": 11, "axes.grid": False}
FORMATS = (".svg", ".png")


def check_plot(path: Path) -> None:
    if path.suffix not in FORMATS:
        raise ConfigError(f"--plot {path}: expected a name that ends with {' or '.join(FORMATS)}")


def save_chart(record: dict[str, Any], path: Path) -> None:
    """As SVG or PNG, by the name."""
    check_plot(path)
    if path.suffix == ".svg":
        write_bytes(path, chart_svg(record).encode())
        return
    import matplotlib as mpl

    with mpl.rc_context(STYLE), replacing(path) as temporary:
        _figure(record["points"]).savefig(temporary, dpi=200)


def chart_svg(record: dict[str, Any]) -> str:
    """For a page, see `benchmarks.svg.inline`."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        return inline(_figure(record["points"]), "Score, latency and memory of the engines")


def _figure(points: list[dict[str, Any]]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, layout="constrained")
    scored = [point for point in points if point["score"] is not None]
    unknown = [point for point in points if point["score"] is None]
    parts = [part for part in (scored, unknown) if part]
    if not parts:
        raise ConfigError("no engine was measured, there is nothing to draw")
    heights = [3.0 if part is scored else 0.7 + 0.3 * min(len(part), LEVELS) for part in parts]
    rows = figure.subplots(len(parts), 1, sharex=True, squeeze=False, height_ratios=heights)
    largest = max(point["peak_bytes"] for point in points)
    for (axes,), part in zip(rows, parts, strict=True):
        levels = [point["score"] for point in part] if part is scored else _spread(part)
        _draw(axes, part, levels, largest)
        if part is scored:
            axes.set_ylabel("xView2 score")
            axes.margins(y=0.18)
        else:
            axes.set_ylabel("score\nunknown")
            axes.set_yticks([])
            axes.set_ylim(-0.5, max(levels) + 0.8)
    _latency_axis(rows[-1, 0], [seconds_per_megapixel(point) for point in points])
    _legend(figure, points, largest)
    return figure


def _draw(axes: Axes, points: list[dict[str, Any]], levels: list[float], largest: int) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=INK, alpha=0.15, linewidth=0.6)
    axes.set_axisbelow(True)
    for point, level in zip(points, levels, strict=True):
        front, area = point["on_front"], LARGEST * point["peak_bytes"] / largest
        at = seconds_per_megapixel(point), level
        colour = COLOURS[point["precision"]]
        axes.scatter(
            *at,
            s=area,
            color=colour,
            alpha=0.9 if front else 0.35,
            edgecolors=INK if front else "none",
            linewidths=1.2,
        )
        axes.annotate(
            f"W{point['width']} {point['size'][0]}",
            at,
            (0, area**0.5 / 2 + 1),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=9,
            fontweight="bold" if front else "normal",
        )


def _spread(points: list[dict[str, Any]]) -> list[float]:
    """Levels in turn, from fast to slow, so that neighbours stand apart."""
    order = sorted(range(len(points)), key=lambda i: seconds_per_megapixel(points[i]))
    return [float(order.index(i) % LEVELS) for i in range(len(points))]


def _latency_axis(axes: Axes, seconds: list[float]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set_xscale("log")
    axes.set_xlim(min(seconds) / 1.6, max(seconds) * 1.6)
    axes.set_xlabel("seconds per megapixel, log scale")
    wide = max(seconds) / min(seconds) > 30
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _legend(figure: Figure, points: list[dict[str, Any]], largest: int) -> None:
    from matplotlib.lines import Line2D

    def dot(colour: str, edge: str = "none") -> Line2D:
        return Line2D(
            [], [], color=colour, markeredgecolor=edge, linestyle="none", marker="o", markersize=9
        )

    used = {point["precision"] for point in points}
    entries = {name.upper(): dot(c) for name, c in COLOURS.items() if name in used}
    entries["not beaten"] = dot("none", INK)
    title = f"area: peak memory, largest {largest / GIB:.2f} GiB"
    figure.legend(
        entries.values(),
        entries.keys(),
        loc="outside upper center",
        ncols=len(entries),
        frameon=False,
        title=title,
        fontsize=10,
        columnspacing=1.0,
        handletextpad=0.2,
    )

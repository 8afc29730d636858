"""The chart: seconds per megapixel across, score up, area by memory, colour by precision, shape
by size. What a network does in one precision at several sizes is a series with one label."""

from __future__ import annotations

from collections import defaultdict
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

SHAPES = "osD^v"
"""Of the markers, by size from small to large; further sizes begin again."""

LEVELS = 4
"""Heights at which points without a score stand; they mean nothing."""

STYLE: Any = {**style(), "font.size": 11, "axes.grid": False}
FORMATS = (".svg", ".png")


class Shapes:
    """What markers look like beside each other."""

    def __init__(self, points: list[dict[str, Any]]) -> None:
        self.largest = max(point["peak_bytes"] for point in points)
        sides = sorted({point["size"][0] for point in points})  # a sweep's engines are square
        self.by_side = {side: SHAPES[i % len(SHAPES)] for i, side in enumerate(sides)}

    def of(self, point: dict[str, Any]) -> str:
        return self.by_side[point["size"][0]]


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
        _figure(record["points"]).savefig(temporary, dpi=200, transparent=False, facecolor="white")


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
    shapes = Shapes(points)
    for (axes,), part in zip(rows, parts, strict=True):
        levels = [point["score"] for point in part] if part is scored else _spread(part)
        _draw(axes, part, levels, shapes)
        if part is scored:
            axes.set_ylabel("xView2 score")
            axes.margins(y=0.22)
        else:
            axes.set_ylabel("score\nunknown")
            axes.set_yticks([])
            axes.set_ylim(-0.5, max(levels) + 0.8)
    _latency_axis(rows[-1, 0], [seconds_per_megapixel(point) for point in points])
    _legend(figure, points, shapes)
    return figure


def _draw(axes: Axes, points: list[dict[str, Any]], levels: list[float], shapes: Shapes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=INK, alpha=0.15, linewidth=0.6)
    axes.set_axisbelow(True)
    placed = defaultdict(list)
    for point, level in zip(points, levels, strict=True):
        front, area = point["on_front"], LARGEST * point["peak_bytes"] / shapes.largest
        at = seconds_per_megapixel(point), level
        axes.scatter(
            *at,
            s=area,
            marker=shapes.of(point),
            color=COLOURS[point["precision"]],
            alpha=0.9 if front else 0.35,
            edgecolors=INK if front else "none",
            linewidths=1.2,
        )
        placed[_series(point)].append((point, at, area**0.5 / 2))
    for members in placed.values():
        _label(axes, members)


def _label(axes: Axes, members: list[tuple[dict[str, Any], tuple[float, float], float]]) -> None:
    """One for a series, and a line through it. INT8's stands above its highest point, the others'
    below their lowest: INT8 is about as fast as FP32 of the next narrower network."""
    above = members[0][0]["precision"] == "int8"
    point, at, radius = (max if above else min)(members, key=lambda member: member[1][1])
    axes.plot(
        *zip(*(at for _, at, _ in members), strict=True),
        color=COLOURS[point["precision"]],
        linewidth=1.0,
        alpha=0.5,
        zorder=0,
    )
    axes.annotate(
        f"W{point['width']}",
        at,
        (0, radius + 2 if above else -radius - 2),
        textcoords="offset points",
        ha="center",
        va="bottom" if above else "top",
        fontsize=9,
        fontweight="bold" if any(each["on_front"] for each, *_ in members) else "normal",
    )


def _series(point: dict[str, Any]) -> str:
    """An engine's name without its size."""
    side = "x".join(map(str, point["size"]))
    return f"{point['name'].replace(f'-{side}', '')} W{point['width']} {point['precision']}"


def _spread(points: list[dict[str, Any]]) -> list[float]:
    """Levels of series in turn, from fast to slow, so that neighbours stand apart."""
    order = sorted(points, key=seconds_per_megapixel)
    series = list(dict.fromkeys(map(_series, order)))
    return [float(series.index(_series(point)) % LEVELS) for point in points]


def _latency_axis(axes: Axes, seconds: list[float]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set_xscale("log")
    axes.set_xlim(min(seconds) / 1.6, max(seconds) * 1.6)
    axes.set_xlabel("seconds per megapixel, log scale")
    wide = max(seconds) / min(seconds) > 30
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _legend(figure: Figure, points: list[dict[str, Any]], shapes: Shapes) -> None:
    from matplotlib.lines import Line2D

    def mark(colour: str, edge: str = "none", shape: str = "o") -> Line2D:
        return Line2D(
            [], [], color=colour, markeredgecolor=edge, linestyle="none", marker=shape, markersize=8
        )

    used = {point["precision"] for point in points}
    entries = {name.upper(): mark(c) for name, c in COLOURS.items() if name in used}
    for side, shape in shapes.by_side.items():
        entries[str(side)] = mark(INK, shape=shape)
    entries["not beaten"] = mark("none", INK)
    figure.legend(
        entries.values(),
        entries.keys(),
        loc="outside upper center",
        ncols=len(entries),
        frameon=False,
        title=f"area: peak memory, largest {shapes.largest / GIB:.2f} GiB",
        fontsize=9,
        columnspacing=0.9,
        handletextpad=0.1,
    )

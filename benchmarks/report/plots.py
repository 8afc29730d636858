"""Charts of curves: the reliability of the confidence, and the score under corruptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.report.figures import EngineFigures
from benchmarks.svg import HEIGHT, INK, PALETTE, WIDTH, inline, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST = 0.001
"""Of all pixels; a bin with fewer says nothing."""


def reliability(engines: Sequence[EngineFigures]) -> str | None:
    """How often the confidence is right, of every engine that was scored; None where none was."""
    scored = [each for each in engines if each.accuracy is not None]
    if not scored:
        return None
    import matplotlib

    with matplotlib.rc_context(style()):
        figure, axes = _figure()
        axes.plot([0, 1], [0, 1], color=INK, alpha=0.4, linewidth=1, linestyle="--")
        for engine, colour in zip(scored, _colours(len(scored)), strict=True):
            found = engine.accuracy.details["confidence"]
            total = sum(each["count"] for each in found["bins"])
            bins = [each for each in found["bins"] if each["count"] >= LEAST * total]
            _curve(axes, bins, ("confidence", "accuracy"), colour, engine.name)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share that is right")
        axes.legend(loc="upper left")
        return inline(figure, "Reliability of the confidence")


def robustness(engines: Sequence[EngineFigures]) -> list[str]:
    """A chart for each corruption: score by its level, of every engine that was tried."""
    tried = [each for each in engines if each.robustness is not None]
    names = list(tried[0].robustness["curves"]) if tried else []
    return [_corruption(tried, name) for name in names]


def _corruption(engines: Sequence[EngineFigures], name: str) -> str:
    import matplotlib

    with matplotlib.rc_context(style()):
        figure, axes = _figure()
        for engine, colour in zip(engines, _colours(len(engines)), strict=True):
            curve = engine.robustness["curves"].get(name)
            if curve is None:
                continue
            image = engine.robustness["image"]
            title = engine.name if image == "post" else f"{engine.name} ({image})"
            _curve(axes, curve["points"], ("level", "score"), colour, title)
            clean = engine.robustness["clean"]["score"]
            axes.axhline(clean, color=colour, alpha=0.5, linewidth=1, linestyle="--")
            axes.set_xlabel(f"{name} ({curve['unit']})")
        axes.set(ylabel="score", ylim=(0, None))
        axes.legend(loc="lower left")
        return inline(figure, f"Score under {name}")


def _figure() -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    return figure, figure.add_subplot()


def _curve(
    axes: Axes, points: Sequence[dict[str, Any]], keys: tuple[str, str], colour: str, name: str
) -> None:
    """One key of the points across, the other up."""
    across, up = ([point[key] for point in points] for key in keys)
    axes.plot(across, up, marker="o", markersize=3.5, linewidth=1.4, color=colour, label=name)


def _colours(count: int) -> list[str]:
    return [PALETTE[i % len(PALETTE)] for i in range(count)]

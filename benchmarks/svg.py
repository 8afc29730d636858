"""A matplotlib figure as SVG inside a page: its text stays text, its ink follows the page."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#010203"
"""Give lines and text this colour: the page's own replaces it, in light and in dark."""

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's, which the colour-blind tell apart; readable on white and on near-black."""

WIDTH, HEIGHT = 4.6, 3.1
"""Inches, of a chart that is to be read on a phone: text keeps about its size there."""


def style() -> dict[str, object]:
    """rcParams for `matplotlib.rc_context`."""
    return {
        "svg.fonttype": "none",
        "font.size": 9.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.18,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "legend.frameon": False,
        **dict.fromkeys(
            ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK
        ),
        "grid.color": INK,
        "legend.fontsize": 8.5,
    }


def inline(figure: Figure, label: str) -> str:
    """An <svg> element, as wide as its place, with an accessible name."""
    import matplotlib

    file = io.StringIO()
    # Ids are hashes: another salt keeps those of two charts on one page apart.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": label}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    # Size and weight are the chart's, the typeface is the page's.
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)
    text = re.sub(r"font: (\w+) ([\d.]+px) [^;\"]*", r"font-weight: \1; font-size: \2", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    return text.replace(INK, "currentColor")

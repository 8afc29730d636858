"""The sensitivity ranking as a picture."""

from __future__ import annotations

from pathlib import Path

from calibration.ranking import Harm
from runtime.files import replacing


def plot(harms: list[Harm], path: Path) -> None:
    """A bar a unit, the most harmful on top: share of labels that rounding it alone changes.

    `path` ends with a suffix that matplotlib writes, such as .png or .svg.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.8 + 0.22 * len(harms)), layout="constrained")
    axes = figure.subplots()
    names = [harm.unit for harm in harms][::-1]
    axes.barh(names, [100 * harm.disagreement for harm in harms][::-1], color="#2b6cb0")
    axes.set_xlabel("labels changed by rounding this unit alone to INT8, %")
    axes.margins(y=0.01)
    axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)

"""How far from a window's edge labels depend on what the window does not show."""

from __future__ import annotations

import numpy as np

from runtime.scene.work import REACH
from train.inference import Runner
from train.synthetic.scene import make_scene

SEED = 30_560
"""Of the scene that it is measured on."""
BOUND = 0.001
"""Share of pixels that may differ, the bound that `benchmarks.seams` is held to."""
LEAST_BUILDINGS = 0.01
"""Share of pixels that must be building for a measurement to say anything."""
STEP = 32


def measured_reach(run: Runner, height: int, width: int) -> int | None:
    """Pixels from a window's edge beyond which labels are those of any other window.

    Two windows of a synthetic scene overlap by three quarters. Of the pixels that are further
    than the reach from the edge of either of them, `BOUND` have two labels at most.

    Returns: at least `runtime.scene.work.REACH`, at most a quarter of the width; None where
        windows are too small to choose, where hardly a building is predicted, or where labels
        differ at any distance, as with averages over a whole window (squeeze-excitation).
    """
    choices = range(REACH, min(height, width) // 4 + 1, STEP)
    if len(choices) < 2:
        return None
    step = width // 4
    scene = make_scene(SEED, 0, max(height, width + step))
    left, right = (
        run(*(np.ascontiguousarray(x[:height, at : at + width]) for x in (scene.pre, scene.post)))
        for at in (0, step)
    )
    first, second = left[0][:, step:], right[0][:, : width - step]
    if ((first > 0) | (second > 0)).mean() < LEAST_BUILDINGS:
        return None
    column = np.arange(width - step)
    from_edge = np.minimum(column, width - step - 1 - column)
    differ = first != second
    return next((d for d in choices if differ[:, from_edge >= d].mean() <= BOUND), None)

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

    Two windows of a synthetic scene lie a quarter of their size apart, in both directions. Of the
    pixels of both that are further than the reach from the edge of either, `BOUND` have two labels
    at most.

    Returns: at least `runtime.scene.work.REACH`, at most a quarter of a side, also where more is
        needed. An eighth where a quarter helps no further: averages over a whole window
        (squeeze-excitation) differ at any distance. None where windows are too small to choose,
        or hardly a building is predicted.
    """
    choices = range(REACH, min(height, width) // 4 + 1, STEP)
    if len(choices) < 2:
        return None
    down, along = height // 4, width // 4
    scene = make_scene(SEED, 0, max(height + down, width + along))
    first, second = (
        run(*(np.ascontiguousarray(x[y:, x0:][:height, :width]) for x in (scene.pre, scene.post)))
        for y, x0 in ((0, 0), (down, along))
    )
    there, here = first[0][down:, along:], second[0][: height - down, : width - along]
    if ((there > 0) | (here > 0)).mean() < LEAST_BUILDINGS:
        return None
    from_edge = np.minimum(*np.ix_(*(_from_end(size) for size in here.shape)))
    differ = there != here
    shares = {distance: differ[from_edge >= distance].mean() for distance in choices}
    if enough := [distance for distance, share in shares.items() if share <= BOUND]:
        return enough[0]
    eighth = min(choices, key=lambda distance: abs(distance - min(height, width) // 8))
    return choices[-1] if shares[choices[-1]] < shares[eighth] / 2 else eighth


def _from_end(size: int) -> np.ndarray:
    """int64 [size]: pixels to the nearer end."""
    place = np.arange(size)
    return np.minimum(place, size - 1 - place)

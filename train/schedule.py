"""Which phase of the schedule an epoch belongs to, and the learning rate inside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from train.config import Phase


def phase_at(schedule: Sequence[Phase], epoch: float) -> tuple[Phase, float]:
    """The phase at `epoch` (0 is the start of the run, fractions count) and the share of it
    that is done, 0..1. After the last phase: that phase, 1."""
    for phase in schedule:
        if epoch < phase.epochs:
            return phase, epoch / phase.epochs
        epoch -= phase.epochs
    return schedule[-1], 1.0


def learning_rate(schedule: Sequence[Phase], epoch: float) -> float:
    """The rate at `epoch`, in epochs since the start."""
    phase, done = phase_at(schedule, epoch)
    start, end = phase.rates
    if phase.shape == "cosine":
        done = (1 - math.cos(math.pi * done)) / 2
    return start + done * (end - start)

"""Learning rate over a run: linear warm-up, then a cosine to the minimum."""

from __future__ import annotations

import math

from train.config import OptimConfig


def learning_rate(config: OptimConfig, progress: float) -> float:
    """The rate at `progress`, in epochs since the start (fractions count)."""
    if progress < config.warmup_epochs:
        share = progress / config.warmup_epochs
        start = min(config.min_learning_rate, config.learning_rate)
        return start + share * (config.learning_rate - start)
    span = max(config.epochs - config.warmup_epochs, 1e-9)
    share = min((progress - config.warmup_epochs) / span, 1.0)
    swing = (config.learning_rate - config.min_learning_rate) / 2
    return config.min_learning_rate + swing * (1 + math.cos(math.pi * share))

"""Observing a tensor's range as a stream: memory is constant, however many tiles pass."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

BINS = 2048
QUANTUM = 128
"""Magnitude levels of symmetric INT8: 0..127."""


class MinMaxObserver:
    """amax is the largest magnitude seen."""

    def __init__(self) -> None:
        self.minimum = float("inf")
        self.maximum = float("-inf")

    def update(self, x: Tensor) -> None:
        low, high = torch.aminmax(x)
        # Not min()/max() of Python: those lose a NaN, which must be refused later.
        self.minimum = float(np.minimum(self.minimum, low.item()))
        self.maximum = float(np.maximum(self.maximum, high.item()))

    def amax(self) -> float:
        return float(np.maximum(abs(self.minimum), abs(self.maximum)))


class EntropyObserver(MinMaxObserver):
    """amax that loses the least information, in the sense of Kullback and Leibler.

    Method: S. Migacz, "8-bit Inference with TensorRT" (GTC 2017). Magnitudes are counted
    in a histogram whose range doubles when a larger value comes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.limit = 0.0
        self.counts = np.zeros(BINS, np.float64)

    def update(self, x: Tensor) -> None:
        super().update(x)
        largest = super().amax()
        if not np.isfinite(largest) or largest == 0.0:
            return
        if self.limit == 0.0:
            self.limit = largest
        while self.limit < largest:
            self.counts = np.concatenate(
                [self.counts.reshape(-1, 2).sum(1), np.zeros(BINS // 2, np.float64)]
            )
            self.limit *= 2
        self.counts += torch.histc(x.abs().float(), BINS, 0.0, self.limit).double().cpu().numpy()

    def amax(self) -> float:
        largest = super().amax()
        if not np.isfinite(largest) or not self.counts[1:].any():
            return largest
        return min(entropy_threshold(self.counts) * self.limit / BINS, largest)


def entropy_threshold(counts: np.ndarray) -> int:
    """Number of bins to keep so that 128 levels describe the kept histogram best.

    Args:
        counts: float64 [BINS], a histogram of magnitudes.
    Returns:
        A bin count in [QUANTUM, BINS]; values beyond it saturate.
    """
    # The first bin holds the zeros that ReLU makes; they are exact in any range.
    counts = counts.copy()
    counts[0] = counts[1]
    best, best_divergence = len(counts), np.inf
    for kept in range(QUANTUM, len(counts) + 1, 16):
        divergence = quantisation_divergence(counts, kept)
        if divergence < best_divergence:
            best, best_divergence = kept, divergence
    return best


def quantisation_divergence(counts: np.ndarray, kept: int) -> float:
    """KL divergence of the first `kept` bins (rest clipped into the last) from 128 levels."""
    reference = counts[:kept].copy()
    reference[-1] += counts[kept:].sum()
    inside = counts[:kept]
    level = np.arange(kept) * QUANTUM // kept
    occupied = inside > 0
    mass = np.bincount(level, inside, QUANTUM)
    share = np.bincount(level, occupied, QUANTUM)
    spread = np.where(occupied, (mass / np.maximum(share, 1))[level], 0.0)
    p, q = reference / reference.sum(), spread / max(spread.sum(), 1e-300)
    # Clipped mass can land in a bin that was empty; a floor keeps its cost finite.
    q = np.maximum(q, 1e-6)
    both = p > 0
    return float((p[both] * np.log(p[both] / q[both])).sum())


METHODS: dict[str, type[MinMaxObserver]] = {"minmax": MinMaxObserver, "entropy": EntropyObserver}

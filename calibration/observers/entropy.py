"""The range that loses the least information.

Method: S. Migacz, "8-bit Inference with TensorRT" (GTC 2017).
"""

from __future__ import annotations

import numpy as np

from calibration.observers.histogram import HistogramObserver

BINS = 2048
QUANTUM = 128
"""Magnitude levels of symmetric INT8: 0..127."""

_STRIDE = 16
"""Bins from one candidate to the next."""


class EntropyObserver(HistogramObserver):
    """amax with the least divergence, in the sense of Kullback and Leibler, over BINS bins."""

    def _threshold(self, counts: np.ndarray, width: float) -> float:
        # As few fine bins to a coarse one as leave room for the largest value.
        merged = -(-(int(np.flatnonzero(counts)[-1]) + 1) // BINS)
        padded = np.zeros(BINS * merged)
        kept = min(len(counts), len(padded))
        padded[:kept] = counts[:kept]
        coarse = padded.reshape(BINS, merged).sum(1)
        return entropy_threshold(coarse) * width * merged


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
    for kept in range(QUANTUM, len(counts) + 1, _STRIDE):
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

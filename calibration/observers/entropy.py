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

_FLOOR = 1e-6
_LOG_FLOOR = float(np.log(_FLOOR))


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
    divergence = Divergence(counts)
    return min(range(QUANTUM, len(counts) + 1, _STRIDE), key=divergence)


class Divergence:
    """KL divergence of a histogram's first bins, the rest clipped into the last of them, from
    what 128 levels make of them: each level's mass spread evenly over its occupied bins.

    Sums up to each bin are taken once; a number of bins then costs as much as there are levels.
    """

    def __init__(self, counts: np.ndarray) -> None:
        """counts: float64 [B]."""
        occupied = counts > 0
        self._counts = counts
        self._mass, self._occupied = _up_to(counts), _up_to(occupied)
        self._information = _up_to(counts * np.log(np.where(occupied, counts, 1)))

    def __call__(self, kept: int) -> float:
        total, last = self._mass[-1], self._counts[kept - 1]
        edges = -(-np.arange(QUANTUM + 1) * kept // QUANTUM)
        mass, share = np.diff(self._mass[edges]), np.diff(self._occupied[edges])
        # Clipped mass can land in a bin that was empty; a floor keeps its cost finite.
        spread = np.maximum(share * self._mass[kept], 1e-300)
        logarithm = np.log(np.maximum(mass / spread, _FLOOR))
        clipped = total - self._mass[kept - 1]  # with what is in the last bin
        found = self._information[kept - 1] - self._mass[kept - 1] * np.log(total)
        found -= mass @ logarithm - last * logarithm[-1]
        if clipped > 0:
            found += clipped * (np.log(clipped / total) - (logarithm[-1] if last else _LOG_FLOOR))
        return float(found / total)


def _up_to(values: np.ndarray) -> np.ndarray:
    """[B + 1], the sum before each bin, and of all."""
    return np.concatenate(([0.0], np.cumsum(values)))

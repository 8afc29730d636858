"""A range that a few in ten thousand values are allowed to leave."""

from __future__ import annotations

import numpy as np

from calibration.observers.histogram import HistogramObserver


class PercentileObserver(HistogramObserver):
    """amax is the 99.99th percentile of the magnitudes (zeros included), to within a bin.

    Method: H. Wu et al., "Integer Quantization for Deep Learning Inference" (2020),
    section 3.3.

    A tensor that is zero but for fewer values than that has no percentile to speak of: its
    range is its largest magnitude, where 0 would silence it.
    """

    percentile = 99.99

    def _threshold(self, counts: np.ndarray, width: float) -> float:
        below = np.cumsum(counts)
        index = int(np.searchsorted(below, below[-1] * (self.percentile / 100)))
        return (index + 1) * width if index else float("inf")

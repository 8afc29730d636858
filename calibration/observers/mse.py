"""The range over which INT8 is nearest to the values, in the mean of squares."""

from __future__ import annotations

import numpy as np

from calibration.observers.histogram import HistogramObserver

LEVELS = 127
"""Magnitudes above zero of symmetric INT8. Tensors of one sign are treated the same: amax
has to serve engines that store them signed too."""

_SMALLEST_PART = 256
"""The search goes down to the largest magnitude divided by this."""

_COARSE, _FINE = 32, 13


class MseObserver(HistogramObserver):
    """amax that minimises the expected squared error of rounding and clipping.

    Method: as in Y. Choukroun et al., "Low-bit Quantization of Neural Networks for Efficient
    Inference" (2019), with the error integrated over each bin rather than taken at its centre.
    """

    def _threshold(self, counts: np.ndarray, width: float) -> float:
        last = int(np.flatnonzero(counts)[-1]) + 1
        counts, largest = counts[:last], last * width
        coarse = np.geomspace(largest / _SMALLEST_PART, largest, _COARSE)
        best = int(np.argmin(expected_error(counts, width, coarse)))
        around = coarse[max(best - 1, 0)], coarse[min(best + 1, _COARSE - 1)]
        fine = np.geomspace(*around, _FINE)
        return float(fine[np.argmin(expected_error(counts, width, fine))])


def expected_error(counts: np.ndarray, width: float, amax: np.ndarray) -> np.ndarray:
    """Sum of the squared errors of 8-bit quantisation, were each bin filled evenly.

    The first bin counts as zeros, which are exact: with ReLU that is what is in it.

    Args:
        counts: float64 [B], a histogram of magnitudes from 0 on.
        width: of a bin.
        amax: float64 [C], candidates.
    Returns:
        float64 [C].
    """
    edges = np.arange(1, len(counts) + 1) * width
    density = counts[1:] / width
    return np.array([np.diff(_integral(edges, a)) @ density for a in amax])


def _integral(v: np.ndarray, amax: float) -> np.ndarray:
    """From 0 to v of the squared error at u: (u - rounded u)^2 up to amax, then (u - amax)^2.

    Between two neighbours of the grid it grows by step^3 / 12, and past the nearest point by
    the cube of the distance over 3.
    """
    step = amax / LEVELS
    inside = np.minimum(v, amax) / step
    nearest = np.rint(inside)
    rounding = step**3 * (nearest / 12 + _cube(inside - nearest) / 3)
    return rounding + _cube(np.maximum(v - amax, 0)) / 3


def _cube(v: np.ndarray) -> np.ndarray:
    return v * v * v  # v**3 takes ten times as long

"""Ranges observed as a stream: memory is constant, however many tiles pass.

Every observer has `update(tensor)`, `minimum`, `maximum` and `amax()`. It works on the
tensor's own device and asks nothing back from it before it is asked for a result.
"""

from __future__ import annotations

from calibration.observers.entropy import (
    BINS,
    QUANTUM,
    Divergence,
    EntropyObserver,
    entropy_threshold,
)
from calibration.observers.histogram import RESOLUTION, HistogramObserver, MagnitudeHistogram
from calibration.observers.minmax import MinMaxObserver
from calibration.observers.mse import MseObserver, expected_error
from calibration.observers.percentile import PercentileObserver

METHODS: dict[str, type[MinMaxObserver]] = {
    "minmax": MinMaxObserver,
    "percentile": PercentileObserver,
    "entropy": EntropyObserver,
    "mse": MseObserver,
}

__all__ = [
    "BINS",
    "METHODS",
    "QUANTUM",
    "RESOLUTION",
    "Divergence",
    "EntropyObserver",
    "HistogramObserver",
    "MagnitudeHistogram",
    "MinMaxObserver",
    "MseObserver",
    "PercentileObserver",
    "entropy_threshold",
    "expected_error",
]

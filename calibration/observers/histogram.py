"""A histogram of magnitudes, whose range doubles when a larger value comes.

The range is always a power of two: the smallest above the largest magnitude. Scaling by one
is exact and halving the resolution adds neighbours, so the counts depend on the values
alone: not on their order, nor on how the stream is cut.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from calibration.observers.minmax import MinMaxObserver, flat

RESOLUTION = 8192
"""Bins. More than half of them are in use: above 32 for each of INT8's 127 magnitudes."""

_SMALLEST = 2.0**-100
"""Ranges end here, so that RESOLUTION / range is a float32. A tensor below is dead anyway."""

_CHUNK = 2**17
"""Values counted at a time on the processor: what is between stays in its cache."""

_ACCELERATOR_CHUNK = 2**23
"""Below 2**24, up to which float32 counts (those of `histc`) are exact."""


class MagnitudeHistogram:
    """Counts of |x| in RESOLUTION equal bins over [0, range)."""

    def __init__(self, device: torch.device) -> None:
        self._counts = torch.zeros(RESOLUTION, dtype=torch.int64, device=device)
        self._exponent = torch.tensor(_exponent_of(_SMALLEST), dtype=torch.int32, device=device)
        self._bins = torch.arange(RESOLUTION, device=device)

    def add(self, x: Tensor, largest: Tensor) -> None:
        """Count every value of `x`.

        Args:
            x: any shape, on this histogram's device.
            largest: [], at least the largest magnitude in `x`. Where it is not finite
                nothing is promised: there is no range to be had then.
        """
        on_cpu = x.device.type == "cpu"
        if on_cpu and not math.isfinite(largest.item()):
            return  # a NaN has no bin
        self._grow(largest)
        # 2**k as the bits of a float32: exact on every device, which exp2 need not be.
        power = RESOLUTION.bit_length() - 1 - self._exponent
        scale = ((power + 127) << 23).view(torch.float32)
        count = _count_on_processor if on_cpu else _count_on_device
        self._counts += count(flat(x), scale)

    @property
    def counts(self) -> np.ndarray:
        """float64 [RESOLUTION]."""
        return self._counts.double().cpu().numpy()

    @property
    def range(self) -> float:
        return math.ldexp(1.0, int(self._exponent.item()))

    @property
    def width(self) -> float:
        """Of a bin."""
        return self.range / RESOLUTION

    def _grow(self, largest: Tensor) -> None:
        """Double the range until `largest` is below it, without asking how often."""
        known = torch.nan_to_num(largest, nan=0.0, posinf=0.0).clamp(min=_SMALLEST)
        exponent = torch.maximum(self._exponent, torch.frexp(known).exponent)
        moved = torch.bitwise_right_shift(self._bins, exponent - self._exponent)
        self._counts = torch.zeros_like(self._counts).index_add_(0, moved, self._counts)
        self._exponent = exponent


class HistogramObserver(MinMaxObserver):
    """An observer whose amax is a matter of how the magnitudes are distributed."""

    def __init__(self) -> None:
        super().__init__()
        self._histogram: MagnitudeHistogram | None = None

    def update(self, x: Tensor) -> None:
        super().update(x)
        if not x.numel():
            return
        if self._histogram is None:
            self._histogram = MagnitudeHistogram(x.device)
        self._histogram.add(x, self._largest())

    def amax(self) -> float:
        largest = super().amax()
        if self._histogram is None or not math.isfinite(largest):
            return largest
        counts = self._histogram.counts
        if not counts[1:].any():
            return largest  # all zero, or too small to tell apart
        return min(self._threshold(counts, self._histogram.width), largest)

    def seen_as(self, kind: type[MinMaxObserver]) -> MinMaxObserver:
        other = super().seen_as(kind)
        if isinstance(other, HistogramObserver):
            other._histogram = self._histogram
        return other

    @property
    def counts(self) -> np.ndarray:
        """float64 [RESOLUTION], how many magnitudes fell into each bin."""
        return np.zeros(RESOLUTION) if self._histogram is None else self._histogram.counts

    @property
    def limit(self) -> float:
        """Where the last bin ends."""
        return 0.0 if self._histogram is None else self._histogram.range

    def _threshold(self, counts: np.ndarray, width: float) -> float:
        """Where to clip.

        Args:
            counts: float64 [RESOLUTION], not all in the first bin.
            width: of a bin, in the unit of the tensor.
        """
        raise NotImplementedError


def _count_on_processor(values: Tensor, scale: Tensor) -> Tensor:
    """By index: 15 times as fast as `torch.histc`, which searches for the bin.

    Bins are 16-bit, which RESOLUTION leaves room for: there is less to move. The same memory
    serves every chunk: to ask the system for it anew, and to touch it for the first time, would
    take longer than the counting.
    """
    counts = torch.zeros(RESOLUTION, dtype=torch.int64)
    size = min(_CHUNK, len(values))
    positions, bins = torch.empty(size), torch.empty(size, dtype=torch.int16)
    for chunk in values.split(_CHUNK):
        position, index = positions[: len(chunk)], bins[: len(chunk)]
        torch.mul(chunk.float(), scale, out=position)
        index.copy_(position.abs_())
        counts += torch.bincount(index, minlength=RESOLUTION)
    return counts


def _count_on_device(values: Tensor, scale: Tensor) -> Tensor:
    """On an accelerator: `bincount` would ask for the maximum, and wait for it.

    `histc` with given limits does not, and leaves NaN out.
    """
    counts = torch.zeros(RESOLUTION, dtype=torch.int64, device=values.device)
    for chunk in values.split(_ACCELERATOR_CHUNK):
        position = torch.mul(chunk.float(), scale).abs_()
        counts += torch.histc(position, RESOLUTION, 0, RESOLUTION).long()
    return counts


def _exponent_of(value: float) -> int:
    return math.frexp(value)[1]

"""The ratio of two medians with an interval that knows that samples follow each other.

A slow spell of a machine lasts for many samples, so a hundred of them may say as much as ten
independent ones. The circular block bootstrap (Politis and Romano, "A circular
block-resampling procedure for stationary data", 1992) draws whole stretches, and keeps such
spells whole. How long a stretch must be follows from the samples: Politis and White,
"Automatic block-length selection for the dependent bootstrap", 2004, with the correction of
Patton, Politis and White, 2009, on the side of the median that each sample lies on, which is
what decides a median.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
"""In simulations the interval keeps it for samples that depend on each other a little; with a
correlation of 0.9 from one to the next and 200 samples, it holds the truth in 80 %."""
RESAMPLES = 2_000
SEED = 20_040
FEW = 8
"""With fewer samples there is nothing to draw from; the interval is then that of the extremes."""
_AT_ONCE = 4_000_000
"""Samples drawn into memory at a time."""


@dataclass(frozen=True)
class Ratio:
    """Median after / median before; `blocks` are the stretches drawn of each, in samples."""

    ratio: float
    lower: float
    upper: float
    blocks: tuple[int, int]


def ratio_of_medians(
    before: Sequence[float], after: Sequence[float], seed: int = SEED, resamples: int = RESAMPLES
) -> Ratio:
    """With the percentile interval of `CONFIDENCE`; the same samples give the same interval.

    before, after: seconds, above 0, in the order in which they were taken, one at least. Of
    fewer than `FEW`, the interval goes from the least to the greatest ratio that any two of
    them have.
    """
    old, new = (np.asarray(each, np.float64) for each in (before, after))
    ratio = float(np.median(new) / np.median(old))
    if min(old.size, new.size) < FEW:
        return Ratio(ratio, float(new.min() / old.max()), float(new.max() / old.min()), (1, 1))
    random = np.random.default_rng(seed)
    blocks = block_length(old), block_length(new)
    medians = [
        _medians(each, block, resamples, random)
        for each, block in zip((old, new), blocks, strict=True)
    ]
    tail = (1 - CONFIDENCE) / 2
    lower, upper = np.quantile(medians[1] / medians[0], (tail, 1 - tail))
    return Ratio(ratio, float(lower), float(upper), blocks)


def block_length(samples: NDArray[np.float64]) -> int:
    """Samples a block: the published choice, from the cube root of their number to a third."""
    count = samples.size
    side = np.sign(samples - np.median(samples))
    side -= side.mean()
    least, most = int(count ** (1 / 3)), max(1, count // 3)
    if not side.any():
        return least
    lags = min(count - 1, 2 * (math.ceil(math.sqrt(count)) + max(5, round(math.log10(count)))))
    covariance = np.array([side[: count - k] @ side[k:] / count for k in range(lags + 1)])
    reach = min(lags, 2 * _last_lag(covariance / covariance[0], count))
    k = np.arange(1, reach + 1)
    window = np.clip(2 * (1 - k / max(reach, 1)), 0, 1) * covariance[1 : reach + 1]
    spectrum = covariance[0] + 2 * window.sum()  # at frequency 0
    if spectrum <= 0:
        return least
    length = (2 * (2 * (k * window).sum()) ** 2 / (4 / 3 * spectrum**2) * count) ** (1 / 3)
    return int(np.clip(math.ceil(length), least, max(least, most)))


def _last_lag(correlation: NDArray[np.float64], count: int) -> int:
    """The last lag before several in a row whose correlation is as of independent samples."""
    run = max(5, math.ceil(math.sqrt(math.log10(count))))
    large = np.abs(correlation[1:]) >= 2 * math.sqrt(math.log10(count) / count)
    for lag in range(large.size - run + 1):
        if not large[lag : lag + run].any():
            return lag
    return large.size


def _medians(
    samples: NDArray[np.float64], block: int, resamples: int, random: np.random.Generator
) -> NDArray[np.float64]:
    """Of `resamples` series as long as the samples, made of stretches of them, end to start."""
    count = samples.size
    blocks = -(-count // block)
    step = max(1, _AT_ONCE // count)
    found = []
    for done in range(0, resamples, step):
        rows = min(step, resamples - done)
        starts = random.integers(0, count, (rows, blocks, 1))
        places = (starts + np.arange(block)) % count
        found.append(np.median(samples[places.reshape(rows, -1)[:, :count]], axis=1))
    return np.concatenate(found)

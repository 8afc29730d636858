"""Intervals of totals from few checked units, where a normal one would be too short.

All take and give arrays of any shape, so that a thousand samples are judged at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Interval = tuple[Floats, Floats]

_SMALL = 1e-9


def quantile(level: float) -> float:
    """Of the standard normal distribution, for a two-sided interval; 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + level) / 2)


def of_share(share: Floats, units: Floats, z: float) -> Interval:
    """Of a share that was found among `units`; of no units, it is 0 to 1.

    Cai's second-order corrected limits (Journal of Statistical Planning and Inference 131, 2005):
    as close to the level as Jeffreys' in both tails, in closed form. For a stratified sample
    `units` is the effective number, whose binomial variance is that of the design (Korn and
    Graubard 1998; Franco et al. 2019 compare intervals on that number).
    """
    n = np.maximum(units, _SMALL)
    shift = z**2 / 3 + 1 / 6
    variance = share * (1 - share)
    more = -(13 / 18 * z**2 + 17 / 18) * variance + z**2 / 18 + 7 / 36
    middle = (share * n + shift) / (n + 2 * shift)
    half = z / np.sqrt(n) * np.sqrt(np.maximum(variance + more / n, 0))
    return np.clip(middle - half, 0, share), np.clip(middle + half, share, 1)


def of_number(total: Floats, each: Floats, z: float) -> Interval:
    """Of a total of rare things, of which each that was seen stands for `each` of them.

    The same limits for a Poisson number, scaled. Nothing seen does not mean that nothing is there;
    where `each` is 0, all was looked at.
    """
    seen = total / np.maximum(each, _SMALL)
    shift, more = z**2 / 3 + 1 / 6, z**2 / 18 + 7 / 36
    half = z * np.sqrt(seen + more)
    low, high = np.clip(seen + shift - half, 0, seen) * each, (seen + shift + half) * each
    return np.where(each > _SMALL, low, total), np.where(each > _SMALL, high, total)


def of_sum(parts: Sequence[tuple[Floats, Interval]]) -> tuple[Floats, Floats, Floats]:
    """Sum of independent estimates and its limits, from theirs, which need not be symmetric.

    The method of variance estimates recovery (Zou and Donner, Statistics in Medicine 27, 2008).
    """
    total = np.sum([each for each, _ in parts], axis=0)
    below = np.sqrt(np.sum([(each - low) ** 2 for each, (low, _) in parts], axis=0))
    above = np.sqrt(np.sum([(high - each) ** 2 for each, (_, high) in parts], axis=0))
    return total, total - below, total + above

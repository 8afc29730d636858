"""Which buildings and cells are looked at: strata, how many of each, and the draw."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtime.counts.intervals import Floats

Labels = NDArray[np.int64]

LEAST = 5
"""Checked units of a stratum, or all of it where it is smaller."""

FEW = 150
"""Buildings to check: with fewer, confidence has two strata a class, not three."""

SUSPICION_STRATA = 3


def by_class_and_confidence(mapped: Labels, confidence: Floats, checked: int) -> Labels:
    """A stratum for each building: its mapped class, and parts of equal numbers by confidence.

    mapped: any whole numbers [N]. checked: how many will be.
    """
    strata = np.zeros(len(mapped), np.int64)
    begun = 0
    for each in np.unique(mapped):
        here = np.flatnonzero(mapped == each)
        pieces = int(np.clip(len(here) // (2 * LEAST), 1, 2 if checked < FEW else 3))
        rank = np.argsort(np.argsort(confidence[here], kind="stable"), kind="stable")
        strata[here] = begun + rank * pieces // len(here)
        begun += pieces
    return strata


def spread_of(strata: Labels, confidence: Floats) -> Floats:
    """Of each stratum, the standard deviation of being right that the map's confidence promises.

    A map is neither as sure nor as unsure as it says: errors count as 5 to 50 %.
    """
    numbers = np.bincount(strata)
    wrong = 1 - np.bincount(strata, confidence) / np.maximum(numbers, 1)
    wrong = np.clip(wrong, 0.05, 0.5)
    return np.sqrt(wrong * (1 - wrong))


def by_suspicion(suspicion: Floats) -> Labels:
    """A stratum for each cell, from the least suspicious; each has about the same sum of roots.

    With as many checked cells in each that is Neyman's allocation, where the spread grows with
    the root of the suspicion (equal aggregate rule, Särndal et al. 1992, 12.5).
    """
    root = np.sqrt(np.maximum(suspicion, 0))
    root = root + max(0.1 * float(root.mean()), 1e-6)
    order = np.argsort(root, kind="stable")
    reached = np.cumsum(root[order])
    strata = np.empty(len(root), np.int64)
    strata[order] = np.minimum(
        reached / reached[-1] * SUSPICION_STRATA, SUSPICION_STRATA - 1e-9
    ).astype(np.int64)
    return np.unique(strata, return_inverse=True)[1].astype(np.int64)


def allocated(size: Labels, spread: Floats, total: int, least: int = LEAST) -> Labels:
    """How many units of each stratum: by size times spread (Neyman 1934), at least `least`.

    Never more than there are; more than `total` where the least of all strata is more.
    """
    floor = np.minimum(size, least)
    found = floor.astype(np.float64)
    total = min(max(total, int(floor.sum())), int(size.sum()))
    free = np.ones(len(size), bool)
    while free.any():
        want = size * spread
        share = (total - found[~free].sum()) * want / want[free].sum()
        low, high = free & (share < floor), free & (share > size)
        if not low.any() and not high.any():
            found[free] = share[free]
            break
        fixed = low if low.any() else high
        found[fixed] = floor[fixed] if low.any() else size[fixed]
        free &= ~fixed
    whole = np.floor(found + 1e-9).astype(np.int64)
    room = whole < size
    first = np.argsort(-(found - whole)[room], kind="stable")[: total - int(whole.sum())]
    whole[np.flatnonzero(room)[first]] += 1
    return whole


def drawn(strata: Labels, numbers: Labels, seed: int) -> Labels:
    """Indices of the units, each as likely as any other of its stratum."""
    random = np.random.default_rng(seed)
    found = [
        random.choice(np.flatnonzero(strata == each), number, replace=False)
        for each, number in enumerate(numbers.tolist())
    ]
    return np.sort(np.concatenate(found)) if found else np.zeros(0, np.int64)

"""Totals by class from a stratified sample of buildings that people checked.

Sources: Cochran, Sampling Techniques (1977), chapter 5, for the stratified estimator and the finite
population correction; Olofsson et al., Remote Sensing of Environment 148 (2014), for a map's
classes as strata; Angelopoulos et al., Prediction-powered inference (Science 382, 2023), and PPI++
(arXiv 2311.01453, 2023), for the tuned use of predictions; Fisch et al., Stratified
prediction-powered inference (arXiv 2406.04291, 2024).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.counts.intervals import Floats, of_number, of_share

PSEUDO = 0.5
"""Units that are added to a part of the map when the variance is estimated: of units that are all
alike, the next one may be another."""


@dataclass(frozen=True, eq=False)
class Strata:
    """size: buildings [H]. checked: of them [H]. own: bool [H,C], is the stratum mapped as c?"""

    size: Floats
    checked: Floats
    own: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Predicted:
    """What the map's own shares say of each class.

    mean: over the buildings of a stratum [H,C]. seen: over those that were checked [...,H,C].
    variance, covariance: of those, and with what they are [...,H,C].
    """

    mean: Floats
    seen: Floats
    variance: Floats
    covariance: Floats


@dataclass(frozen=True, eq=False)
class Part:
    """Buildings of a class in some strata: their number and its interval [...,C]."""

    total: Floats
    low: Floats
    high: Floats


def parts(
    found: Floats, strata: Strata, z: float, predicted: Predicted | None = None
) -> tuple[Part, Part]:
    """Of each class: buildings in the strata that are mapped as it, and in all others.

    found: of the checked ones, how many are of a class [...,H,C].
    Both are apart since one is most of its strata and the other is rare in its own: together,
    neither variance would grow with the number as it does.
    """
    return (
        _part(found, strata, strata.own, z, predicted),
        _part(found, strata, ~strata.own, z, predicted),
    )


def _part(
    found: Floats, strata: Strata, within: NDArray[np.bool_], z: float, predicted: Predicted | None
) -> Part:
    size = np.where(within, strata.size[:, None], 0.0)
    checked = strata.checked[:, None]
    total_size = size.sum(axis=0)
    weight = size / np.maximum(total_size, 1)
    share = found / checked
    rest = (1 - strata.checked / strata.size)[:, None]  # finite population
    spread = weight**2 * rest / checked

    # Of the variance: shares of strata that were all alike move towards those of the part.
    inside = np.where(within, found, 0.0).sum(axis=-2)
    units = np.where(within, checked, 0.0).sum(axis=0)
    pooled = ((inside + PSEUDO) / (units + 2 * PSEUDO))[..., None, :]
    smooth = (found + PSEUDO * pooled) / (checked + PSEUDO)
    variance = (spread * smooth * (1 - smooth) * checked / np.maximum(checked - 1, 1)).sum(axis=-2)
    smooth_total = (weight * smooth).sum(axis=-2)

    estimate = (weight * share).sum(axis=-2)
    if predicted is not None:
        along = (spread * predicted.covariance).sum(axis=-2)
        across = (spread * predicted.variance).sum(axis=-2)
        raw = (spread * share * (1 - share) * checked / np.maximum(checked - 1, 1)).sum(axis=-2)
        tuned = np.clip(along / np.maximum(across, 1e-12), 0, 1)
        left = raw - 2 * tuned * along + tuned**2 * across
        kept = np.where(raw > 0, left / np.maximum(raw, 1e-12), 1.0)
        shift = (weight * (predicted.mean - predicted.seen)).sum(axis=-2)
        estimate = np.clip(estimate + tuned * shift, 0, 1)
        variance = variance * np.clip(kept, 0.05, 1)
    effective = smooth_total * (1 - smooth_total) / np.maximum(variance, 1e-12)
    low, high = of_share(estimate, effective, z)
    # What was seen is there.
    least = inside / np.maximum(total_size, 1)
    most = 1 - (units - inside) / np.maximum(total_size, 1)
    low, high = np.clip(low, least, most), np.clip(high, least, most)
    empty = total_size == 0
    return Part(*(np.where(empty, 0.0, each * total_size) for each in (estimate, low, high)))


def missed(found: Floats, squares: Floats, cells: Floats, checked: Floats, z: float) -> Part:
    """Buildings that the map has not, from cells of the ground that were searched for them.

    found, squares: sums over a stratum's checked cells of the number of a class, and of its
    square [...,G,C]; the last class is all of them together. cells, checked: [G].
    """
    size, seen = cells[:, None], checked[:, None]
    rest = 1 - seen / size
    mean = found / seen
    variance = (squares - seen * mean**2) / np.maximum(seen - 1, 1)
    variance = np.where(seen > 1, np.maximum(variance, 0), mean)
    total = (size * mean).sum(axis=-2)
    spread = (size**2 * rest * variance / seen).sum(axis=-2)
    # What one building stands for: of those that were found, and of one found anywhere.
    anywhere = float((cells**2 * rest[:, 0] / checked).sum() / cells.sum())
    each = (spread + PSEUDO * anywhere**2) / np.maximum(total + PSEUDO * anywhere, 1e-12)
    # Groups that no cell showed are not in the variance, and less so where little was found.
    together = total[..., -1:] / np.maximum(each[..., -1:], 1e-12)
    each = each * (1 + 1 / np.sqrt(1 + together))
    low, high = of_number(total, each, z)
    return Part(total, np.maximum(low, found.sum(axis=-2)), high)

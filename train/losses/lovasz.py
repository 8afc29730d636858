"""The Lovász extension of the Jaccard loss (Berman et al., 2018)."""

from __future__ import annotations

from torch import Tensor


def lovasz_error(errors: Tensor, truth: Tensor) -> Tensor:
    """1 - IoU where errors are 0 or 1, and its tightest convex extension in between.

    errors: float [P], |truth - probability| of each pixel.
    truth: float [P], 1 where the pixel belongs to the class, else 0; at least one is 1.
    """
    errors, order = errors.sort(descending=True)
    hits = truth[order]
    intersection = hits.sum() - hits.cumsum(0)
    union = hits.sum() + (1 - hits).cumsum(0)
    jaccard = 1 - intersection / union
    steps = jaccard.clone()
    steps[1:] -= jaccard[:-1]
    return (errors * steps).sum()

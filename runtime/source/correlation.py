"""How far two pieces of image lie apart, by what is in them.

Compared are the directions of edges, not values: the gradient at each pixel, brought to a length
that hardly depends on contrast ("orientation correlation", Fitch et al. 2002; of six ways to match
satellite images the best one in Heid and Kääb 2012). Another sun, haze and season change values
more than directions. Where nothing is known there is no gradient, so that it counts for nothing.

OpenCV's `matchTemplate` correlates: the runtime has it already, it looks at every offset within
reach by one Fourier transform, and the template is compared whole at each, which
`phaseCorrelate` does not do.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.source.contract import Known, Pixels

Features = NDArray[np.float32]
"""[H,W,2], the direction of the edge across and down, of a length from 0 to 1."""

NOISE = 2.0
"""Grey levels a pixel: a gradient of so much has half the length of a strong one, at most. What
JPEG leaves of even ground is below."""

PEAK = 4
"""Pixels from a peak within which another is the same one."""


@dataclass(frozen=True)
class Match:
    """Where a template is found.

    down, across: pixels from the place where it was expected.
    score: correlation there, -1 to 1. certainty: the same, by what chance gives where as many
    edges are compared. rival: the best score elsewhere, as a share of this one.
    """

    down: float
    across: float
    score: float
    certainty: float
    rival: float


def features(pixels: Pixels, known: Known | None) -> Features:
    """[H,W,3] -> [H,W,2]; `known` None: everywhere."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    even = cv2.GaussianBlur(grey, (5, 5), 1)
    across, down = (cv2.Scharr(even, cv2.CV_32F, *way, scale=1 / 32) for way in ((1, 0), (0, 1)))
    length = np.asarray(cv2.magnitude(across, down))
    middle = float(np.median(length[::2, ::2]))
    if known is not None and not known.all():
        reach = np.ones((9, 9), np.uint8)  # of the blur and the gradient, and what was resampled
        unknown = cv2.dilate((~known).astype(np.uint8), reach) > 0
        middle = float(np.median(length[~unknown])) if not unknown.all() else 0.0
        length = np.where(unknown, np.float32(np.inf), length)
    found = np.dstack([across, down]) / (length + NOISE + middle)[..., None]
    return np.asarray(found, np.float32)


def similarity(first: Features, second: Features) -> float:
    """Correlation of two of one shape, -1 to 1; 0 where one is empty."""
    one, other, both = (sum(cv2.sumElems(cv2.multiply(*pair))) for pair in (
        (first, first), (second, second), (first, second)
    ))  # fmt: skip
    return float(both / np.sqrt(one * other)) if one and other else 0.0


def find(template: Features, region: Features) -> Match | None:
    """`template` in a `region` that is larger by as much above as below, and left as right.

    None where there is nothing to be compared, and where what is most alike is at the end of
    reach: what is beyond may be more so.
    """
    scores = _scores(template, region)
    if scores is None or min(scores.shape) < 3:
        return None
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    end = scores.shape[0] - 1, scores.shape[1] - 1
    best = float(scores[row, column])
    if best <= 0 or not (0 < row < end[0] and 0 < column < end[1]):
        return None
    aside = _beside(scores, int(row), int(column))
    scores[max(0, row - PEAK) : row + PEAK + 1, max(0, column - PEAK) : column + PEAK + 1] = 0
    length = _squared(template)
    edges = float(length.sum(dtype=np.float64)) ** 2 / float((length**2).sum(dtype=np.float64))
    return Match(
        float(row) - end[0] / 2 + aside[0],
        float(column) - end[1] / 2 + aside[1],
        best,
        best * float(np.sqrt(edges)),
        float(scores.max()) / best,
    )


def _scores(template: Features, region: Features) -> NDArray[np.float32] | None:
    """Correlation at every offset. Where less than half of what is compared is known, or has an
    edge, it counts as half: a few pixels that agree are no match."""
    own = float(_squared(template).sum(dtype=np.float64))
    if own < 1.0:
        return None
    height, width = template.shape[:2]
    sums = cv2.integral(_squared(region), sdepth=cv2.CV_64F)
    there = sums[height:, width:] - sums[:-height, width:]
    there -= sums[height:, :-width] - sums[:-height, :-width]
    found = cv2.matchTemplate(region, template, cv2.TM_CCORR)
    return np.asarray(found / np.sqrt(own * np.maximum(there, own / 2)), np.float32)


def _squared(found: Features) -> NDArray[np.float32]:
    """[H,W], of the lengths."""
    across, down = cv2.split(found)
    return np.asarray(across * across + down * down, np.float32)


def _beside(scores: NDArray[np.float32], row: int, column: int) -> tuple[float, float]:
    """From a pixel to the top of the surface of second degree through it and its neighbours."""
    near = scores[row - 1 : row + 2, column - 1 : column + 2].astype(np.float64)
    down = (near[2].sum() - near[0].sum()) / 6
    across = (near[:, 2].sum() - near[:, 0].sum()) / 6
    twice_down = (near[0] + near[2] - 2 * near[1]).sum() / 3
    twice_across = (near[:, 0] + near[:, 2] - 2 * near[:, 1]).sum() / 3
    both = (near[0, 0] + near[2, 2] - near[0, 2] - near[2, 0]) / 4
    curved = twice_down * twice_across - both**2
    if curved <= 0:
        return 0.0, 0.0
    found = (
        (both * across - twice_across * down) / curved,
        (both * down - twice_down * across) / curved,
    )
    return float(np.clip(found[0], -1, 1)), float(np.clip(found[1], -1, 1))

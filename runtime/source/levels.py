"""Do both images of a pair look as if taken in comparable light?"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.errors import ImageError
from runtime.source.pair import ScenePair

APART = 50.0
"""Grey levels. Pairs of xBD without clouds are at most 21 apart, clouded ones 56 and 86: see
docs/measurements/quality.md. Training makes one image 0.4 to 1.6 times as bright at most."""

_BLOCKS, _SIDE = 8, 64
"""Blocks down and across the scene, and pixels a side of each: what is looked at does not depend
on windows, nor grow with the scene."""

_SHOWN = (5, 50, 95)
"""Per cent."""


def of_pair(pair: ScenePair) -> dict[str, Any] | None:
    """What both histograms are, for summary.json; None where nothing is known.

    apart: how far a grey level must be moved, in the mean, to make one histogram of the other (the
    Wasserstein distance of order 1).
    """
    found = _greys(pair)
    if not found.size:
        return None
    before, after = np.percentile(found, range(101), axis=1).T
    shown = {
        when: {f"{share}%": round(float(levels[share]), 1) for share in _SHOWN}
        for when, levels in (("before", before), ("after", after))
    }
    return {**shown, "apart": round(float(np.abs(before - after).mean()), 1)}


def notes(pair: ScenePair, found: dict[str, Any] | None) -> list[str]:
    """At most one line. found: of `of_pair`."""
    if found is None or found["apart"] <= APART:
        return []
    before, after = (found[when]["50%"] for when in ("before", "after"))
    return [
        f"{pair.post.path} and {pair.pre.path} lie {found['apart']:.0f} grey levels apart in the "
        f"mean (pairs of xBD: at most 21), half of their pixels are below {after:.0f} and "
        f"{before:.0f} of 255; look for clouds, and give each image its own --scale"
    ]


def _greys(pair: ScenePair) -> NDArray[np.uint8]:
    """[2,N], of what is known in both images. A part that cannot be read is told elsewhere."""
    found = [np.zeros((2, 0), np.uint8)]
    for top in _places(pair.height):
        for left in _places(pair.width):
            size = min(_SIDE, pair.height), min(_SIDE, pair.width)
            try:
                looks = [each.look(top, left, *size) for each in (pair.pre, pair.post)]
            except ImageError:
                continue
            known = np.ones(size, np.bool_)
            for _, there in looks:
                known &= True if there is None else there
            greys = [cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[known] for pixels, _ in looks]
            found.append(np.stack(greys).astype(np.uint8))
    return np.concatenate(found, axis=1)


def _places(length: int) -> list[int]:
    room = max(0, length - _SIDE)
    return sorted({room * n // (_BLOCKS - 1) for n in range(_BLOCKS)})

"""Do both images of a pair look as if taken in comparable light?"""

from __future__ import annotations

from typing import Any

import numpy as np

from runtime.source.contract import Source

APART = 35.0
"""Grey levels. Pairs of xBD without clouds are at most 21 apart, clouded ones 56 and 86: see
docs/measurements/quality.md. Training makes one image 0.4 to 1.6 times as bright at most."""

_SHOWN = (5, 50, 95)
"""Per cent."""


def of_pair(pre: Source, post: Source) -> dict[str, Any] | None:
    """What both histograms are, for summary.json; None where nothing was read.

    apart: how far a grey level must be moved, in the mean, to make one histogram of the other (the
    Wasserstein distance of order 1).
    """
    before, after = (each.seen.levels(each.scale) for each in (pre, post))
    if before is None or after is None:
        return None
    apart = float(np.abs(np.subtract(before, after)).mean())
    shown = {
        when: {f"{share}%": round(levels[share], 1) for share in _SHOWN}
        for when, levels in (("before", before), ("after", after))
    }
    return {**shown, "apart": round(apart, 1)}


def notes(pre: Source, post: Source) -> list[str]:
    """At most one line."""
    found = of_pair(pre, post)
    if found is None or found["apart"] <= APART:
        return []
    before, after = (found[when]["50%"] for when in ("before", "after"))
    return [
        f"{post.path} and {pre.path} lie {found['apart']:.0f} grey levels apart in the mean (pairs "
        f"of xBD: at most 21), half of their pixels are below {after:.0f} and {before:.0f} of 255; "
        "look for clouds, and give each image its own --scale"
    ]

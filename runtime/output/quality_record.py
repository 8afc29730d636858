"""What summary.json and the notes say of ground that cannot be judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.damage import NODATA
from runtime.source.quality import CLEAR, LAYER

TOLD = 0.02
"""Of the known pixels: more is told in a note."""


def record_of(counts: Mapping[int, int], masked: bool) -> dict[str, Any]:
    """counts: pixels by the layer's value. masked: were they left out of the map?"""
    return {"masked": masked, "px": {why: counts.get(n, 0) for n, why in enumerate(LAYER)}}


def notes(counts: Mapping[int, int], masked: bool) -> list[str]:
    """At most one line."""
    known, bad = _known(counts), _known(counts) - counts.get(CLEAR, 0)
    if bad <= TOLD * known:
        return []
    end = (
        "it is not computed (--mask-quality)"
        if masked
        else "the map says little there; --mask-quality leaves it out"
    )
    return [f"{bad / known:.0%} of the ground cannot be judged ({listed(counts)}): {end}"]


def listed(counts: Mapping[int, int]) -> str:
    """The reasons and their shares, the largest first."""
    known = _known(counts)
    found = sorted(
        ((counts.get(n, 0), why) for n, why in enumerate(LAYER) if n != CLEAR), reverse=True
    )
    return ", ".join(f"{why} {count / known:.1%}" for count, why in found if count)


def _known(counts: Mapping[int, int]) -> int:
    return sum(count for value, count in counts.items() if value != NODATA)

"""Which points nobody beats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def seconds_per_megapixel(point: dict[str, Any]) -> float:
    return 1 / float(point["megapixels_per_s"])


def on_front(points: Sequence[dict[str, Any]]) -> list[bool]:
    """Of each point, whether none beats it.

    One beats another that is no better in any respect and worse in one: the score (higher is
    better), seconds per megapixel and peak memory (lower is better). Scores compare only where
    both are known, on the same data; a point without a score competes with its like alone, in
    latency and memory, because nobody knows what its speed is bought with.
    """
    return [not any(_beats(other, point) for other in points) for point in points]


def _beats(a: dict[str, Any], b: dict[str, Any]) -> bool:
    if a["score_on"] != b["score_on"] or (a["score"] is None) != (b["score"] is None):
        return False
    costs_a, costs_b = _costs(a), _costs(b)
    return costs_a != costs_b and all(x <= y for x, y in zip(costs_a, costs_b, strict=True))


def _costs(point: dict[str, Any]) -> tuple[float, float, float]:
    return -(point["score"] or 0.0), seconds_per_megapixel(point), point["peak_bytes"]

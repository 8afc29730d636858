"""Is a confidence of 0.8 right eight times in ten? The reliability diagram, and its ECE.

Counted are the judged building pixels: those whose truth is a damage class and where the engine
sees a building, so that `confidence` is the probability of a damage class. A missed building
and a false alarm are localization's concern and count nothing here; nor does un-classified.

Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015;
Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, whose 15 bins of equal width
these are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from runtime.damage import BACKGROUND, CLASS_NAMES

BINS = 15
_LEVELS = 256
_PIXELS = "building pixels of the map whose truth is a damage class"


@dataclass(eq=False)
class Reliability:
    """Counts by confidence level; those of parts add up to those of the whole.

    seen, right: int64 [256], judged building pixels, and those of them with the true class.
    """

    seen: np.ndarray = field(default_factory=lambda: np.zeros(_LEVELS, np.int64))
    right: np.ndarray = field(default_factory=lambda: np.zeros(_LEVELS, np.int64))

    def add(self, damage: np.ndarray, confidence: np.ndarray, truth: np.ndarray) -> None:
        """Count one tile.

        Args:
            damage, confidence: uint8 [H, W], maps of an engine.
            truth: uint8 [H, W], the damage target: 0..4, 255 un-classified.
        """
        judged = _is_class(damage) & _is_class(truth)
        level, right = confidence[judged], (damage == truth)[judged]
        self.seen += np.bincount(level, minlength=_LEVELS)
        self.right += np.bincount(level[right], minlength=_LEVELS)

    @property
    def bins(self) -> list[dict[str, float]]:
        """Those that hold pixels, in order; a confidence c is in the bin with low < c <= high,
        and 0 in the first. `confidence` and `accuracy` are means over the bin."""
        levels = np.arange(_LEVELS)
        place = np.maximum(-(-levels * BINS // (_LEVELS - 1)) - 1, 0)
        seen, right, confidence = (
            np.bincount(place, weights=weights, minlength=BINS)
            for weights in (self.seen, self.right, self.seen * levels / (_LEVELS - 1))
        )
        return [
            {
                "low": each / BINS,
                "high": (each + 1) / BINS,
                "count": int(seen[each]),
                "confidence": float(confidence[each] / seen[each]),
                "accuracy": float(right[each] / seen[each]),
            }
            for each in np.flatnonzero(seen).tolist()
        ]

    @property
    def ece(self) -> float | None:
        """Expected calibration error: the gap between confidence and accuracy of a bin,
        averaged over pixels. None where there is no pixel."""
        total = int(self.seen.sum())
        gaps = (b["count"] * abs(b["accuracy"] - b["confidence"]) for b in self.bins)
        return sum(gaps) / total if total else None

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "over": _PIXELS,
            "pixels": int(self.seen.sum()),
            "ece": self.ece,
            "bins": self.bins,
        }


def _is_class(values: np.ndarray) -> np.ndarray:
    return (values > BACKGROUND) & (values < len(CLASS_NAMES))

"""What a gate misses on labelled tiles, by its threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import beta

SAFETY = 4
"""Of the odds that there is a building: in other scenes a gate is less sure of one."""
ALONE = 20
"""Most buildings of labelled tiles have others beside them, which have their window computed, too.
Of those that have none more may be missed."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Windows and buildings of some tiles.

    peaks: int [windows], of `runtime.scene.gate.peak`.
    pixels: int [windows], building pixels in the part that is kept.
    levels: int [buildings]; where the threshold is above its level, more than half of a building
        lies in windows that are skipped: it is missed.
    alone: int [buildings that no edge of their tile cuts], the highest of the gate's building
        probability x 255 on itself. Where the threshold is above that, it is missed unless
        something else beside it is found.
    """

    peaks: np.ndarray
    pixels: np.ndarray
    levels: np.ndarray
    alone: np.ndarray

    def missed(self, threshold: int) -> float:
        """Share of the buildings."""
        return float((self.levels < threshold).mean())

    def as_dict(self, threshold: int) -> dict[str, Any]:
        """At that threshold; JSON values."""
        skipped, empty = self.peaks < threshold, self.pixels == 0
        missed, count = int((self.levels < threshold).sum()), len(self.levels)
        return {
            "buildings": count,
            "buildings_missed": missed,
            "missed_at_most": round(upper_bound(missed, count), 6),
            "buildings_not_cut": len(self.alone),
            "not_found_alone": int((self.alone < threshold).sum()),
            "building_pixels": int(self.pixels.sum()),
            "building_pixels_missed": int(self.pixels[skipped].sum()),
            "windows": len(self.peaks),
            "windows_without_building": int(empty.sum()),
            "of_those_skipped": int((skipped & empty).sum()),
        }


def highest_threshold(seen: Seen, budget: float) -> int:
    """The highest threshold, 0 to 255, at which at most `budget` of the buildings are missed."""
    allowed = int(budget * len(seen.levels))
    return int(np.sort(seen.levels)[allowed]) if allowed < len(seen.levels) else 255


def threshold_of(seen: Seen, budget: float) -> int:
    """The threshold of a gate that may miss `budget` of the buildings, 0 to 255: `SAFETY` below the
    highest that the windows allow, and so low that of buildings alone in their windows at most
    `ALONE` times the budget would be missed."""
    odds = min(highest_threshold(seen, budget), 254.5) / 255
    odds = odds / (1 - odds) / SAFETY
    # The lowest that may not be missed; where all may, none says what the threshold should be.
    needed = np.sort(seen.alone)[int(ALONE * budget * len(seen.alone)) :]
    return min(int(255 * odds / (1 + odds)), *needed[:1].tolist(), 255)


def upper_bound(missed: int, of: int) -> float:
    """The share that is not exceeded with a confidence of 95 %, where `missed` of `of` were: the
    upper end of the one-sided interval of Clopper and Pearson (1934)."""
    return 1.0 if missed >= of else float(beta.ppf(0.95, missed + 1, of - missed))

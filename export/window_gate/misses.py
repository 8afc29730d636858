"""What a gate misses on labelled tiles, by its threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import betaincinv

SAFETY = 4
"""Of the odds that there is a building: in other scenes a gate is less sure of one."""
ALONE = 20
"""Most buildings of labelled tiles have others beside them, which have their window computed, too.
Of those that have none more may be missed."""
HAMLET = 8
"""Buildings at most in every window that shows some of one, for it to be of a hamlet: little else
has its window computed, too."""


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
    company: int [buildings], how many buildings the fullest window shows that shows some of it,
        itself included.
    """

    peaks: np.ndarray
    pixels: np.ndarray
    levels: np.ndarray
    alone: np.ndarray
    company: np.ndarray

    def missed(self, threshold: int) -> float:
        """Share of the buildings."""
        return float((self.levels < threshold).mean())

    @property
    def hamlets(self) -> np.ndarray:
        """The levels of buildings of hamlets: int [those]."""
        return self.levels[self.company <= HAMLET]

    def as_dict(self, threshold: int) -> dict[str, Any]:
        """At that threshold; JSON values."""
        skipped, empty = self.peaks < threshold, self.pixels == 0
        missed, count = _missed(self.levels, threshold)
        of_hamlets, hamlets = _missed(self.hamlets, threshold)
        return {
            "buildings": count,
            "buildings_missed": missed,
            "missed_at_most": round(upper_bound(missed, count), 6),
            "hamlet_buildings": hamlets,
            "hamlet_buildings_missed": of_hamlets,
            "hamlet_missed_at_most": round(upper_bound(of_hamlets, hamlets), 6),
            "buildings_not_cut": len(self.alone),
            "not_found_alone": int((self.alone < threshold).sum()),
            "building_pixels": int(self.pixels.sum()),
            "building_pixels_missed": int(self.pixels[skipped].sum()),
            "windows": len(self.peaks),
            "windows_without_building": int(empty.sum()),
            "of_those_skipped": int((skipped & empty).sum()),
        }


def highest_threshold(levels: np.ndarray, budget: float) -> int:
    """The highest threshold, 0 to 255, at which at most `budget` of the buildings with these levels
    are missed."""
    allowed = int(budget * len(levels))
    return int(np.sort(levels)[allowed]) if allowed < len(levels) else 255


def threshold_of(seen: Seen, budget: float) -> int:
    """The threshold of a gate that may miss `budget` of the buildings, and of those of hamlets, 0
    to 255: `SAFETY` below the highest that the windows allow, and so low that of buildings alone in
    their windows at most `ALONE` times the budget would be missed."""
    highest = min(highest_threshold(each, budget) for each in (seen.levels, seen.hamlets))
    odds = min(highest, 254.5) / 255
    odds = odds / (1 - odds) / SAFETY
    # The lowest that may not be missed; where all may, none says what the threshold should be.
    needed = np.sort(seen.alone)[int(ALONE * budget * len(seen.alone)) :]
    return min(int(255 * odds / (1 + odds)), *needed[:1].tolist(), 255)


def upper_bound(missed: int, of: int) -> float:
    """The share that is not exceeded with a confidence of 95 %, where `missed` of `of` were: the
    upper end of the one-sided interval of Clopper and Pearson (1934)."""
    return 1.0 if missed >= of else float(betaincinv(missed + 1, of - missed, 0.95))


def lower_bound(missed: int, of: int) -> float:
    """The share that is exceeded with a confidence of 95 %: the lower end of that interval."""
    return 0.0 if not missed else float(betaincinv(missed, of - missed + 1, 0.05))


def _missed(levels: np.ndarray, threshold: int) -> tuple[int, int]:
    """How many of the buildings, and of how many."""
    return int((levels < threshold).sum()), len(levels)

"""Which tiles are looked at: chosen, so that what INT8 will meet is among them.

In this order, until there are enough:

1. a tile of every disaster, and of every damage class where there are labels;
2. the darkest and the brightest image, before and after;
3. in turns over disasters, and over the worst damage within each, the tile whose looks are
   farthest from those chosen (Gonzalez, "Clustering to minimize the maximum intercluster
   distance", 1985).

The choice depends on the tiles alone, not on the order they come in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.candidates import Candidate, candidates
from runtime.damage import CLASS_NAMES
from runtime.errors import CalibrationError
from runtime.files import sha256
from train.xbd import Tile

_EXTREMES: dict[str, Callable[[Candidate], float]] = {
    "darkest pre image": lambda c: -c.pre.brightness,
    "brightest pre image": lambda c: c.pre.brightness,
    "darkest post image": lambda c: -c.post.brightness,
    "brightest post image": lambda c: c.post.brightness,
}


@dataclass(frozen=True)
class Choice:
    candidate: Candidate
    reason: str

    @property
    def tile(self) -> Tile:
        return self.candidate.tile


def choose(tiles: Sequence[Tile], count: int) -> list[Tile]:
    """`count` of `tiles` (or all there are), in the order of choosing."""
    return [choice.tile for choice in select(tiles, count)]


def select(tiles: Sequence[Tile], count: int) -> list[Choice]:
    """`choose`, with the reason for each.

    Raises:
        CalibrationError: `count` is below 1.
        ImageError, DataError: a tile that was considered cannot be read.
    """
    if count < 1:
        raise CalibrationError(f"{count} calibration tiles asked for; expected at least 1")
    selection = _Selection(candidates(tiles, count))
    for step in (selection.cover, selection.reach, selection.fill):
        while len(selection.chosen) < count and step():
            pass
    return selection.chosen


def describe_choice(choices: Sequence[Choice]) -> list[str]:
    """A line a tile: its name, why it was chosen, and what it looks like."""
    return [
        f"{c.tile.name}: {c.reason}; brightness {c.candidate.pre.brightness:.2f} before, "
        f"{c.candidate.post.brightness:.2f} after; {_damage_names(c.candidate.damage)}"
        for c in choices
    ]


def content_hashes(tiles: Sequence[Tile]) -> list[dict[str, str]]:
    """What identifies each tile: its name and the sha256 of both images."""
    return [{"name": t.name, "pre": sha256(t.pre), "post": sha256(t.post)} for t in tiles]


class _Selection:
    """The choice so far. Each step adds a tile, or says that it has none to add."""

    def __init__(self, found: list[Candidate]) -> None:
        self.chosen: list[Choice] = []
        self._left = dict(enumerate(found))
        self._goals = [(name, max(found, key=of)) for name, of in _EXTREMES.items() if found]
        looks = np.array([c.pre.vector() + c.post.vector() for c in found]).reshape(-1, 8)
        spread = looks.std(0)
        # One unit for all of them: how much a number varies over the candidates.
        self._looks = (looks - np.median(looks, 0)) / np.where(spread > 1e-9, spread, 1)
        self._distance = np.full(len(found), np.inf)

    def cover(self) -> bool:
        """The tile that shows most of what has not been seen, a new disaster before all."""
        disasters = {choice.tile.disaster for choice in self.chosen}
        seen = frozenset[int]().union(*[choice.candidate.damage for choice in self.chosen])

        def gain(candidate: Candidate) -> tuple[bool, int]:
            return candidate.tile.disaster not in disasters, len(candidate.damage - seen)

        best = max(map(gain, self._left.values()), default=(False, 0))
        if best == (False, 0):
            return False
        index = self._farthest([i for i, c in self._left.items() if gain(c) == best])
        candidate, reasons = self._left[index], []
        if candidate.tile.disaster not in disasters:
            reasons.append(f"first of {candidate.tile.disaster}")
        if candidate.damage - seen:
            reasons.append(f"first with {_damage_names(candidate.damage - seen)}")
        self._add(index, ", ".join(reasons))
        return True

    def reach(self) -> bool:
        """The next extreme that has not been chosen for another reason."""
        while self._goals:
            reason, candidate = self._goals.pop(0)
            for index, left in self._left.items():
                if left is candidate:
                    self._add(index, reason)
                    return True
        return False

    def fill(self) -> bool:
        """The farthest tile of the stratum that has had fewest."""
        if not self._left:
            return False
        disasters = Counter(choice.tile.disaster for choice in self.chosen)
        strata = Counter(choice.candidate.stratum for choice in self.chosen)
        stratum = min(
            {candidate.stratum for candidate in self._left.values()},
            key=lambda stratum: (disasters[stratum[0]], strata[stratum], stratum),
        )
        members = [i for i, c in self._left.items() if c.stratum == stratum]
        disaster, worst = stratum
        damage = f" up to {CLASS_NAMES[worst]}" if worst else ""
        self._add(self._farthest(members), f"looks unlike those chosen, of {disaster}{damage}")
        return True

    def _farthest(self, indices: list[int]) -> int:
        """From those chosen; the first of all is the most ordinary one. By name where equal."""
        if not self.chosen:
            return min(indices, key=lambda i: float(np.linalg.norm(self._looks[i])))
        return max(indices, key=lambda i: self._distance[i])

    def _add(self, index: int, reason: str) -> None:
        self.chosen.append(Choice(self._left.pop(index), reason))
        distance = np.linalg.norm(self._looks - self._looks[index], axis=1)
        self._distance = np.minimum(self._distance, distance)


def _damage_names(damage: frozenset[int]) -> str:
    return ", ".join(CLASS_NAMES[value] for value in sorted(damage)) or "no damage known"

"""How a network does on corrections that it was not fitted to.

Corrections are dealt into folds; each fold is predicted by a network that was fitted to the others
alone. Below `FEW` every correction is a fold of its own. From there on there are `FOLDS`, of whole
windows where there are enough of them, so that what is left out is not next to what is learnt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from runtime.damage import BACKGROUND, CLASS_NAMES, DAMAGE_CLASSES
from runtime.score import Tally
from train.adaptation.corrections import Correction
from train.adaptation.examples import Example
from train.footprint_score import most_frequent
from train.inference import predict_maps
from train.model import DualHRNet

FEW, FOLDS = 10, 5
LEAST = 2
"""Corrections: one alone cannot be left out and learnt from."""

_VALUES = len(CLASS_NAMES)


@dataclass(eq=False)
class Judged:
    """Corrected buildings by what was predicted; those of parts add up.

    confusion: int64 [5, 5], true class x predicted class; row 0 what is no building, column 0 what
        is missed.
    unclassified: int64 [2], buildings without a class that are missed and found.
    """

    confusion: np.ndarray = field(default_factory=lambda: np.zeros((_VALUES, _VALUES), np.int64))
    unclassified: np.ndarray = field(default_factory=lambda: np.zeros(2, np.int64))

    def add(self, damage: int, predicted: int) -> None:
        if damage < _VALUES:
            self.confusion[damage, predicted] += 1
        else:
            self.unclassified[int(predicted != BACKGROUND)] += 1

    def __add__(self, other: Judged) -> Judged:
        return Judged(self.confusion + other.confusion, self.unclassified + other.unclassified)

    @property
    def accuracy(self) -> float | None:
        """Part of the buildings with a class that are given it; a missed one is not. None without
        any."""
        rows = self.confusion[DAMAGE_CLASSES[0] :]
        return float(np.trace(self.confusion[1:, 1:]) / rows.sum()) if rows.sum() else None

    @property
    def f1(self) -> float | None:
        """Mean F1 of the classes that the corrections hold, by building."""
        tallies = [Tally.of_class(self.confusion, each) for each in DAMAGE_CLASSES]
        there = [each.f1 for each in tallies if each.actual]
        return float(np.mean(there)) if there else None

    @property
    def right(self) -> int:
        """Buildings found, and what is none and is not taken for one."""
        found = int(self.confusion[1:, 1:].sum()) + int(self.unclassified[1])
        return found + int(self.confusion[BACKGROUND, BACKGROUND])

    @property
    def count(self) -> int:
        return int(self.confusion.sum() + self.unclassified.sum())

    def as_dict(self) -> dict[str, Any]:
        return {
            "buildings": self.count,
            "accuracy": self.accuracy,
            "f1": self.f1,
            "detected": self.right,
            "confusion": self.confusion.tolist(),
            "unclassified": self.unclassified.tolist(),
        }


def folds_of(windows: Sequence[int]) -> list[list[int]]:
    """Indices of corrections by the fold that leaves them out.

    windows: of each correction the number of its window.
    """
    count = len(windows)
    if count < FEW:
        return [[index] for index in range(count)]
    whole = len(set(windows)) >= FOLDS
    folds: list[list[int]] = [[] for _ in range(FOLDS)]
    for index, window in enumerate(windows):
        folds[(window if whole else index) % FOLDS].append(index)
    return [each for each in folds if each]


def judge(
    network: DualHRNet,
    corrections: Sequence[Correction],
    examples: Sequence[Example],
    window_of: Sequence[int],
    which: Iterable[int],
    threshold: float = 0.5,
) -> Judged:
    """How `network` does on the corrections `which` (their indices).

    A building is given the class that most of its pixels have, as `train.footprint_score` does.
    """
    found = Judged()
    by_window: dict[int, list[int]] = {}
    for index in which:
        by_window.setdefault(window_of[index], []).append(index)
    for window, members in by_window.items():
        example = examples[window]
        maps = predict_maps(network, example.patch.pre, example.patch.post, threshold)
        for index in members:
            there = np.abs(example.owner) == index + 1
            correction = corrections[index]
            if correction.damage != BACKGROUND:
                there = example.owner == index + 1
            votes = np.bincount(maps[0][there], minlength=_VALUES)
            found.add(correction.damage, int(most_frequent(votes)))
    return found


def worse(before: Judged, after: Judged) -> list[str]:
    """What fell or shows nothing, one clause each; empty where the adapted network is no worse."""
    found = []
    if before.f1 == after.f1 == 0:
        found.append(f"none of {after.count} is given its class, before or after")
    for name, was, now in (
        ("accuracy", before.accuracy, after.accuracy),
        ("mean F1", before.f1, after.f1),
    ):
        if was is not None and now is not None and now < was:
            found.append(f"{name} of the damage class fell from {was:.4f} to {now:.4f}")
    if after.right < before.right:
        found.append(f"detection fell from {before.right} to {after.right} of {before.count}")
    return found

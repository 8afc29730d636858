"""The accuracy gate: may a graph of lower precision stand for the FP32 network?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from calibration.scenes import Scene
from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES
from runtime.score import Counts
from train.inference import Maps, Runner

_LEVELS = 256
_CLASSES = CLASS_NAMES[DAMAGE_CLASSES[0] :]


@dataclass(frozen=True)
class Limits:
    """The most that may be lost against FP32, absolute."""

    score: float = 0.005
    class_f1: float = 0.01
    """Of each damage class, and of localization."""

    def of(self, name: str) -> float:
        """The limit of a figure: "score", or what an F1 is of."""
        return self.score if name == "score" else self.class_f1

    def exceeded(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Those of the losses, by name, that are beyond their limit."""
        return {name: lost for name, lost in losses.items() if lost > self.of(name)}


@dataclass
class Accuracy:
    """What is counted of one runner's maps."""

    counts: Counts = field(default_factory=Counts)
    confidence: np.ndarray = field(default_factory=lambda: np.zeros(_LEVELS, np.int64))
    """int64 [256], how often each confidence level was given."""

    def add(self, maps: Maps, scene: Scene) -> None:
        damage, _, confidence = maps
        self.counts.add(damage, damage, scene.building, scene.damage)
        self.confidence += np.bincount(confidence.ravel(), minlength=_LEVELS)


@dataclass(frozen=True)
class Comparison:
    """A candidate against FP32 on the same scenes.

    label_agreement: share of pixels with the same damage label.
    confidence_shift: see the function of that name.
    """

    reference: Counts
    candidate: Counts
    label_agreement: float
    confidence_shift: float
    scenes: int

    @property
    def losses(self) -> dict[str, float]:
        """FP32's figure minus the candidate's: score, localization F1, F1 of each class."""
        before, after = self.reference, self.candidate
        classes = zip(_CLASSES, before.class_f1, after.class_f1, strict=True)
        return {
            "score": before.score - after.score,
            "localization": before.localization_f1 - after.localization_f1,
            **{name: was - now for name, was, now in classes},
        }

    @property
    def not_measured(self) -> list[str]:
        """The classes of which FP32 has nothing to lose."""
        return [name for name, f1 in zip(_CLASSES, self.reference.class_f1, strict=True) if not f1]

    def broken(self, limits: Limits) -> list[str]:
        """What was lost beyond its limit, in words; empty where the gate holds."""
        return [
            f"{'the score' if name == 'score' else f'the F1 of {name}'} loses {lost:.4f} "
            f"(limit {limits.of(name)})"
            for name, lost in limits.exceeded(self.losses).items()
        ]

    def excess(self, limits: Limits) -> float:
        """By how much the worst loss is beyond its limit; not above 0 where the gate holds."""
        return max(lost - limits.of(name) for name, lost in self.losses.items())

    def as_dict(self) -> dict[str, Any]:
        return {
            "scenes": self.scenes,
            "reference": _figures(self.reference),
            "candidate": _figures(self.candidate),
            "losses": self.losses,
            "not_measured": self.not_measured,
            "label_agreement": self.label_agreement,
            "confidence_shift": self.confidence_shift,
        }


class Reference:
    """FP32's maps of some scenes, computed once and compared with many candidates."""

    def __init__(self, run: Runner, scenes: Sequence[Scene]) -> None:
        self.scenes = scenes
        self._maps = [run(scene.pre, scene.post) for scene in scenes]
        self._accuracy = Accuracy()
        for maps, scene in zip(self._maps, scenes, strict=True):
            self._accuracy.add(maps, scene)

    def compare(self, run: Runner) -> Comparison:
        """Run a candidate on the same scenes."""
        accuracy, agreeing, pixels = Accuracy(), 0, 0
        for scene, reference in zip(self.scenes, self._maps, strict=True):
            maps = run(scene.pre, scene.post)
            accuracy.add(maps, scene)
            agreeing += int(np.count_nonzero(maps[0] == reference[0]))
            pixels += maps[0].size
        return Comparison(
            self._accuracy.counts,
            accuracy.counts,
            agreeing / pixels,
            confidence_shift(self._accuracy.confidence, accuracy.confidence),
            len(self.scenes),
        )


def confidence_shift(before: np.ndarray, after: np.ndarray) -> float:
    """How far confidence moved between two histograms, int64 [256]: the area between the
    cumulative ones (Wasserstein-1), in probability. Neither is empty."""
    gap = np.cumsum(before / before.sum()) - np.cumsum(after / after.sum())
    return float(np.abs(gap).sum() / (_LEVELS - 1))


def _figures(counts: Counts) -> dict[str, Any]:
    return {
        "score": counts.score,
        "localization": counts.localization_f1,
        **dict(zip(_CLASSES, counts.class_f1, strict=True)),
    }

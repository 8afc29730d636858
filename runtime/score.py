"""The official xView2 score.

    score = 0.3 x localization F1 + 0.7 x damage F1

Pixels are counted over a whole data set and F1 is taken once, at the end. The F1 of
anything that was never hit is 0, also of a class that the data set does not have.
Damage F1 is the harmonic mean 4 / sum(1 / (F1 + 1e-6)) over the four damage classes:
one class that fails drags it down.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.damage import BACKGROUND, CLASS_NAMES, DAMAGE_CLASSES, NODATA

_VALUES = len(CLASS_NAMES)
_EPSILON = 1e-6


@dataclass(frozen=True)
class Tally:
    """The answers to one question over many things, such as "is this pixel destroyed?".

    A ratio without a single hit is 0, also where there was nothing to find.
    """

    true_positive: int
    false_positive: int
    false_negative: int

    @staticmethod
    def of_class(confusion: NDArray[np.int64], value: int) -> Tally:
        """One class of an int64 [K,K] confusion, target class x predicted class."""
        hits = int(confusion[value, value])
        return Tally(
            hits, int(confusion[:, value].sum()) - hits, int(confusion[value].sum()) - hits
        )

    @property
    def actual(self) -> int:
        """How many there are in truth; where this is 0 the ratios say nothing."""
        return self.true_positive + self.false_negative

    @property
    def precision(self) -> float:
        return self._ratio(self.false_positive)

    @property
    def recall(self) -> float:
        return self._ratio(self.false_negative)

    @property
    def f1(self) -> float:
        return self._ratio((self.false_positive + self.false_negative) / 2)

    def _ratio(self, wrong: float) -> float:
        if self.true_positive == 0:
            return 0.0
        return self.true_positive / (self.true_positive + wrong)


@dataclass(eq=False)
class Counts:
    """What the score needs of a data set; counts of parts add up to those of the whole.

    localization: int64 [3], true positive, false positive and false negative pixels.
    confusion: int64 [5,5], target class x predicted class, of the pixels whose target
        is a damage class. Row 0 stays 0; column 0 holds the buildings' missed pixels.
    """

    localization: NDArray[np.int64] = field(default_factory=lambda: np.zeros(3, np.int64))
    confusion: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((_VALUES, _VALUES), np.int64)
    )

    def add(
        self,
        prediction_building: ArrayLike,
        prediction_damage: ArrayLike,
        target_building: ArrayLike,
        target_damage: ArrayLike,
    ) -> None:
        """Count one tile or batch; four arrays of one shape.

        prediction_building: bool, or classes as in a damage map (1..4 is building). Not a
            mask of 0 and 255, where 255 would be read as NODATA.
        prediction_damage: classes 0..4. It counts as 0 where no building is predicted.
        target_building: bool or classes; IGNORE (255) is a building that is there but
            could not be judged.
        target_damage: classes; 0 and IGNORE (255) count for nothing.

        NODATA (255) in a prediction was not computed: it is neither building nor damage,
        so a building there is missed. Raises ValueError for other values or shapes.
        """
        found = _classes(prediction_building, "prediction_building")
        damage = _classes(prediction_damage, "prediction_damage")
        there = _classes(target_building, "target_building") > BACKGROUND
        truth = _classes(target_damage, "target_damage")
        shapes = {found.shape, damage.shape, there.shape, truth.shape}
        if len(shapes) > 1:
            raise ValueError(f"the four arrays must have one shape, not {sorted(shapes)}")
        building = (found > BACKGROUND) & (found != NODATA)
        hits = np.count_nonzero(building & there)
        self.localization += np.array(
            (hits, np.count_nonzero(building) - hits, np.count_nonzero(there) - hits), np.int64
        )
        gated = np.where(building & (damage != NODATA), damage, BACKGROUND)
        judged = (truth > BACKGROUND) & (truth < _VALUES)
        cells = truth[judged].astype(np.int64) * _VALUES + gated[judged]
        self.confusion += np.bincount(cells, minlength=_VALUES**2).reshape(_VALUES, _VALUES)

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.localization + other.localization, self.confusion + other.confusion)

    @property
    def localization_tally(self) -> Tally:
        return Tally(*(int(n) for n in self.localization))

    @property
    def class_tallies(self) -> tuple[Tally, Tally, Tally, Tally]:
        """Classes 1..4, over the pixels whose target is a damage class."""
        one, two, three, four = (Tally.of_class(self.confusion, each) for each in DAMAGE_CLASSES)
        return one, two, three, four

    @property
    def localization_f1(self) -> float:
        return self.localization_tally.f1

    @property
    def class_f1(self) -> tuple[float, float, float, float]:
        """F1 of classes 1..4: no, minor and major damage, destroyed."""
        one, two, three, four = (tally.f1 for tally in self.class_tallies)
        return one, two, three, four

    @property
    def damage_f1(self) -> float:
        return len(DAMAGE_CLASSES) / sum(1 / (f1 + _EPSILON) for f1 in self.class_f1)

    @property
    def score(self) -> float:
        return 0.3 * self.localization_f1 + 0.7 * self.damage_f1

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        classes = {
            CLASS_NAMES[each]: tally
            for each, tally in zip(DAMAGE_CLASSES, self.class_tallies, strict=True)
        }
        localization = self.localization_tally
        return {
            "score": self.score,
            "localization_f1": localization.f1,
            "localization_precision": localization.precision,
            "localization_recall": localization.recall,
            "damage_f1": self.damage_f1,
            "class_f1": {name: tally.f1 for name, tally in classes.items()},
            "class_precision": {name: tally.precision for name, tally in classes.items()},
            "class_recall": {name: tally.recall for name, tally in classes.items()},
            "counts": {
                "localization": asdict(localization),
                **{name: asdict(tally) for name, tally in classes.items()},
            },
            "confusion": self.confusion.tolist(),
        }


def _classes(values: ArrayLike, name: str) -> NDArray[np.integer]:
    """Checked classes of the damage scale; True is class 1."""
    array = np.asarray(values)
    if array.dtype == bool:
        return array.view(np.uint8)
    if array.dtype.kind not in "ui":
        raise ValueError(f"{name} must be bool or whole numbers, not {array.dtype}")
    wrong = (array < 0) | ((array >= _VALUES) & (array != NODATA))
    if wrong.any():
        raise ValueError(f"{name} holds {array[wrong].flat[0]}; expected 0..4 or 255")
    return array

"""The official xView2 score.

    score = 0.3 x localization F1 + 0.7 x damage F1

Pixels are counted over a whole data set and F1 is taken once, at the end. The F1 of
anything that was never hit is 0, also of a class that the data set does not have.
Damage F1 is the harmonic mean 4 / sum(1 / (F1 + 1e-6)) over the four damage classes:
one class that fails drags it down.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.damage import BACKGROUND, CLASS_NAMES, DAMAGE_CLASSES, NODATA

_VALUES = len(CLASS_NAMES)
_EPSILON = 1e-6


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
    def localization_f1(self) -> float:
        true_positive, false_positive, false_negative = (int(n) for n in self.localization)
        return _f1(true_positive, false_positive, false_negative)

    @property
    def class_f1(self) -> tuple[float, float, float, float]:
        """F1 of classes 1..4: no, minor and major damage, destroyed."""
        one, two, three, four = (_f1(*self._class_counts(each)) for each in DAMAGE_CLASSES)
        return one, two, three, four

    @property
    def damage_f1(self) -> float:
        return len(DAMAGE_CLASSES) / sum(1 / (f1 + _EPSILON) for f1 in self.class_f1)

    @property
    def score(self) -> float:
        return 0.3 * self.localization_f1 + 0.7 * self.damage_f1

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        names = ("true_positive", "false_positive", "false_negative")
        return {
            "score": self.score,
            "localization_f1": self.localization_f1,
            "damage_f1": self.damage_f1,
            "class_f1": {
                CLASS_NAMES[each]: f1
                for each, f1 in zip(DAMAGE_CLASSES, self.class_f1, strict=True)
            },
            "counts": {
                "localization": dict(zip(names, self.localization.tolist(), strict=True)),
                **{
                    CLASS_NAMES[each]: dict(zip(names, self._class_counts(each), strict=True))
                    for each in DAMAGE_CLASSES
                },
            },
            "confusion": self.confusion.tolist(),
        }

    def _class_counts(self, value: int) -> tuple[int, int, int]:
        true_positive = int(self.confusion[value, value])
        false_positive = int(self.confusion[:, value].sum()) - true_positive
        false_negative = int(self.confusion[value].sum()) - true_positive
        return true_positive, false_positive, false_negative


def _f1(true_positive: int, false_positive: int, false_negative: int) -> float:
    if true_positive == 0:
        return 0.0
    return 2 * true_positive / (2 * true_positive + false_positive + false_negative)


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

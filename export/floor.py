"""The floor: how like the FP32 network every engine must label, whether there are labels or not.

It is measured where something can be wrong: on pixels that the network or the engine takes for
building. Over a whole map nine of ten pixels are background, and an engine that mixes up the
damage classes agrees on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES
from runtime.manifest import Precision

CLASSES = [CLASS_NAMES[value] for value in DAMAGE_CLASSES]


@dataclass(frozen=True)
class Floor:
    """Limits against FP32's maps of the parity pairs.

    agreement: least share of building pixels with the same label.
    class_f1: least F1 of each damage class that FP32 predicts.
    probability: largest mean difference of the probabilities, 0..1, on building pixels.
    pixels: how many pixels FP32 must predict of a damage class for its F1 to be a measurement.
    """

    agreement: float
    class_f1: float
    probability: float
    pixels: int = 64

    def with_given(self, **limits: float) -> Floor:
        """With these in the place of its own."""
        return replace(self, **limits)

    def broken(self, parity: Mapping[str, Any]) -> list[str]:
        """What `export.parity` measured below the floor, in words; empty where it holds."""
        found = []
        agreement, gap = parity["building_agreement"], parity["probability_difference"]
        if agreement is None and self.agreement > 0:
            found.append("not measured: neither FP32 nor it takes a pixel for building")
        elif agreement is not None and agreement < self.agreement:
            found.append(
                f"{agreement:.2%} of the building pixels have FP32's label (floor "
                f"{self.agreement:.2%})"
            )
        found += [
            f"{name} has F1 {f1:.4f} against FP32 (floor {self.class_f1:g})"
            for name, f1 in parity["class_f1"].items()
            if name in CLASSES and parity["content"][name] and f1 < self.class_f1
        ]
        if gap > self.probability:
            found.append(
                f"probabilities differ by {gap:.2g} in the mean on building pixels (floor "
                f"{self.probability:g})"
            )
        return found

    def unmeasured(self, content: Mapping[str, int]) -> list[str]:
        """The damage classes of which FP32 predicts too few pixels, in words.

        Args:
            content: pixels by class name that FP32 predicts.
        """
        return [
            f"{name} ({content[name]} pixels)" for name in CLASSES if content[name] < self.pixels
        ]

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


FLOORS: dict[Precision, Floor] = {
    "fp32": Floor(agreement=0.999, class_f1=0.999, probability=0.001),
    "fp16": Floor(agreement=0.99, class_f1=0.98, probability=0.01),
    "int8": Floor(agreement=0.9, class_f1=0.8, probability=0.05),
}
"""See docs/explanation/proofs.md for what trained networks measure."""

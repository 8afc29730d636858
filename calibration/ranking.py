"""How much INT8 hurts each unit of the network, and which units must be spared it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from calibration.gate import Comparison, Limits, Reference
from calibration.rounding import network_units, rounded, runner
from runtime.errors import CalibrationError
from train.model.config import ModelConfig
from train.quantisation.fake import Form, Range, check_scales


@dataclass(frozen=True)
class Subject:
    """What is rounded: an `inference_form`, its ranges, and how its logits become labels.

    form: of the network that the ranges belong to (see `Artefact.form`).
    scales: type that stores the scales.
    """

    form: fx.GraphModule
    config: ModelConfig
    ranges: dict[str, Range]
    activations: Form
    threshold: float
    scales: torch.dtype = torch.float32

    def compare(self, reference: Reference, high_precision: Iterable[str]) -> Comparison:
        """The rounded network against FP32, with some units left in floating point."""
        spared = frozenset(high_precision)
        core = rounded(self.form, self.ranges, self.activations, spared, self.scales)
        check_scales(core)
        return reference.compare(runner(core, self.config, self.threshold))

    @property
    def units(self) -> list[str]:
        return network_units(self.form)


@dataclass(frozen=True)
class Harm:
    """What rounding one unit alone does, against FP32."""

    unit: str
    comparison: Comparison

    @property
    def disagreement(self) -> float:
        """Share of labels that change. Unlike a score it cannot cancel out."""
        return 1 - self.comparison.label_agreement

    def as_dict(self) -> dict[str, Any]:
        return {
            "unit": self.unit,
            "disagreement": self.disagreement,
            "confidence_shift": self.comparison.confidence_shift,
            "losses": self.comparison.losses,
        }


def rank(
    subject: Subject,
    reference: Reference,
    progress: Callable[[list[str]], Iterable[str]] = iter,
) -> list[Harm]:
    """Every unit rounded on its own, the most harmful first."""
    names = subject.units
    harms = []
    for unit in progress(names):
        others = [name for name in names if name != unit]
        harms.append(Harm(unit, subject.compare(reference, others)))
    return sorted(harms, key=lambda harm: -harm.disagreement)


def spare(
    subject: Subject,
    reference: Reference,
    harms: list[Harm],
    limits: Limits,
    already: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """Units to leave in floating point so that the rounded network holds the gate.

    Args:
        already: those that are left so far; at least one more is added.
    Raises:
        CalibrationError: the gate fails even with one unit left to round.
    """
    spared = already
    for harm in (h for h in harms if h.unit not in already):
        spared = (*spared, harm.unit)
        if len(spared) == len(harms):
            break
        if not subject.compare(reference, spared).broken(limits):
            return spared
    raise CalibrationError(
        "no unit can be rounded to INT8 within the accuracy limits; calibrate on more tiles, try "
        "another --method, or fine-tune with qat (python -m train ... qat.calibration=FILE)"
    )

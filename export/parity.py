"""Parity: how far an engine's maps are from PyTorch's FP32 maps of the same pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from export.deploy import DeployOptions
from export.floor import Floor
from export.parity_pairs import ParityPair, content, described
from runtime.damage import CLASS_NAMES
from runtime.errors import ExportError
from runtime.manifest import Precision
from train.inference import Runner, contradictions

MIN_FP32_AGREEMENT = 0.9999
"""Share of all labels on which an FP32 graph must agree with PyTorch, or nothing is written."""


def prove(
    what: str, run: Runner, pairs: Sequence[ParityPair], options: DeployOptions, floor: Floor
) -> dict[str, Any]:
    """`compare`, and that it holds the floor.

    Raises:
        ExportError: FP32 predicts too little of a class on `pairs` for it to be measured; or the
            engine is below the floor; or its maps, or FP32's, show nothing.
    """
    _check_shown(floor, pairs)
    parity = compare(run, pairs, options.threshold)
    broken = floor.broken(parity)
    if options.precision == "fp32" and not parity["label_agreement"] >= MIN_FP32_AGREEMENT:
        broken.insert(
            0,
            f"{parity['label_agreement']:.4%} of all labels are FP32's (floor "
            f"{MIN_FP32_AGREEMENT:.2%})",
        )
    if broken:
        raise ExportError(
            f"{what} does not label as the network does, on {described(pairs)}: "
            f"{'; '.join(broken)}; nothing was written, {_ADVICE[options.precision]}"
        )
    return {**parity, "floor": floor.as_dict(), "pairs": described(pairs)}


_ADVICE: dict[Precision, str] = {
    "fp32": "report the checkpoint's architecture, or lower the floor if you have raised it",
    "fp16": "use --fp32, or lower the floor with --floor-agreement, --floor-f1 or "
    "--floor-probability",
    "int8": "calibrate on more tiles, use --fp32, or lower the floor with --floor-agreement, "
    "--floor-f1 or --floor-probability",
}


def _check_shown(floor: Floor, pairs: Sequence[ParityPair]) -> None:
    maps = np.concatenate([np.stack(each.maps).reshape(3, -1) for each in pairs], 1)
    if (maps == maps[:, :1]).all():
        raise ExportError(
            f"PyTorch's maps hold one value each on all {maps.shape[1]} pixels, so that agreeing "
            "with them shows nothing; the network is dead, nothing was written, take another "
            "checkpoint"
        )
    unmeasured = floor.unmeasured(content(pairs))
    if unmeasured:
        raise ExportError(
            f"not measured: on the pairs that were found ({described(pairs)}) the network predicts "
            f"too little of {', '.join(unmeasured)} to compare it, expected {floor.pixels} pixels "
            "of every damage class; pass --data with tiles that show them, or, where the network "
            "never predicts them, --floor-pixels 0"
        )


def compare(run: Runner, pairs: Sequence[ParityPair], threshold: float) -> dict[str, Any]:
    """How far `run`'s maps are from FP32's.

    Raises:
        ExportError: its logits are no numbers.

    Returns:
        label_agreement: share of pixels with the same label.
        building_agreement: the same of building pixels: those that either takes for building;
            None where there are none.
        class_f1: per class that occurs, F1 of the engine's labels against FP32's.
        content: per class, pixels that FP32 predicts.
        probability_difference: mean difference on building pixels (where there are none, on
            all), 0..1, the larger one of the building probability's and, where the labels agree,
            of the confidence's.
        max_building_difference, max_confidence_difference: in steps of 1/255, the latter
            where the labels agree.
    """
    confusion = np.zeros((len(CLASS_NAMES),) * 2, np.int64)
    gaps = {"building": _Gap(), "confidence": _Gap()}
    for pair in pairs:
        maps = run(pair.pre, pair.post)
        off = contradictions(maps, threshold)
        if off:
            raise ExportError(
                f"its maps contradict each other on {off} of {maps[0].size} pixels, as logits that "
                "are NaN make them: numbers overflow in its precision; nothing was written, use "
                "--fp32, or another checkpoint"
            )
        damage, reference = maps[0], pair.maps[0]
        np.add.at(confusion, (reference.ravel(), damage.ravel()), 1)
        building, agreeing = (damage > 0) | (reference > 0), damage == reference
        gaps["building"].add(maps[1], pair.maps[1], np.ones_like(agreeing), building)
        gaps["confidence"].add(maps[2], pair.maps[2], agreeing, building)
    built = confusion.sum() - confusion[0, 0]
    return {
        "label_agreement": float(np.trace(confusion) / confusion.sum()),
        "building_agreement": float(np.trace(confusion[1:, 1:]) / built) if built else None,
        "pixels": int(confusion.sum()),
        "class_f1": _class_f1(confusion),
        "content": content(pairs),
        "probability_difference": max(gap.mean for gap in gaps.values()),
        "max_building_difference": gaps["building"].largest,
        "max_confidence_difference": gaps["confidence"].largest,
    }


class _Gap:
    """Between two maps, uint8 [H, W], where they are to be compared."""

    def __init__(self) -> None:
        self.largest = 0
        self._sums, self._pixels = np.zeros(2, np.int64), np.zeros(2, np.int64)

    def add(
        self, found: np.ndarray, expected: np.ndarray, where: np.ndarray, building: np.ndarray
    ) -> None:
        gap = np.abs(found.astype(np.int16) - expected.astype(np.int16))
        self.largest = max(self.largest, int(gap.max(where=where, initial=0)))
        for index, part in enumerate((where & building, where)):
            self._sums[index] += int(gap.sum(where=part))
            self._pixels[index] += int(np.count_nonzero(part))

    @property
    def mean(self) -> float:
        """On building pixels, or on all where there are none, 0..1."""
        index = 0 if self._pixels[0] else 1
        return float(self._sums[index] / max(self._pixels[index], 1) / 255)


def _class_f1(confusion: np.ndarray) -> dict[str, float]:
    hits = np.diag(confusion)
    total = confusion.sum(0) + confusion.sum(1)
    return {
        name: float(2 * hits[value] / total[value])
        for value, name in enumerate(CLASS_NAMES)
        if total[value]
    }

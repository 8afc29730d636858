"""How alike two folders of maps are: the same pair and engine, mapped by two installations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

KINDS = ("png", "tif")
LABELS = 1e-4
"""Share of the damage map that may differ: what an FP32 engine may differ from PyTorch. Another
processor or library rounds another way, and a pixel lies at the threshold now and then."""
PROBABILITY_STEP = 1
"""Most that a probability (x 255) may differ where the damage is the same."""
MOST_NUMBER = 0.005
"""Most that a number of a polygon may differ where the damage map is the same: its confidence,
a mean of such probabilities."""


@dataclass(frozen=True)
class Likeness:
    """Of `pixels`, how many differ in the damage, how many in the probabilities (where the damage
    is the same) and by how much at most; of the polygons' numbers the largest difference."""

    same_bytes: bool
    pixels: int
    damage: int
    probabilities: int
    step: int
    polygons: float | None

    @property
    def holds(self) -> bool:
        if self.damage > LABELS * self.pixels or self.step > PROBABILITY_STEP:
            return False
        return bool(self.damage) or (self.polygons is not None and self.polygons <= MOST_NUMBER)

    def __str__(self) -> str:
        if self.same_bytes:
            return "same bytes"
        labels = f"{self.damage} of {self.pixels} px of the damage map differ"
        step = f"{self.probabilities} probabilities differ by up to {self.step} of 255"
        told = [labels if self.damage else "damage map the same to the pixel"]
        told += [step] if self.probabilities else []
        if not self.damage:
            told += [f"polygons differ by up to {self.polygons:.1g}" if self.polygons else
                     "polygons equal"]  # fmt: skip
        return ", ".join(told)


def compare(one: Path, other: Path) -> Likeness:
    """Raises AssertionError where they do not hold the same files."""
    rasters = _maps(one)
    assert rasters == _maps(other), f"{one} holds {rasters}, {other} holds {_maps(other)}"
    outputs = [*rasters, "buildings.geojson"]
    same = all((one / name).read_bytes() == (other / name).read_bytes() for name in outputs)
    apart = {Path(name).stem: _apart(one / name, other / name) for name in rasters}
    alike = apart.pop("damage") == 0
    steps = [step[alike] for step in apart.values()]
    polygons = [json.loads((each / "buildings.geojson").read_text()) for each in (one, other)]
    return Likeness(
        same, alike.size, int(np.count_nonzero(~alike)),
        sum(int(np.count_nonzero(step)) for step in steps),
        max((int(step.max(initial=0)) for step in steps), default=0), _numbers(*polygons),
    )  # fmt: skip


def _maps(folder: Path) -> list[str]:
    names = (f"{each}.{kind}" for each in ("damage", "building", "confidence") for kind in KINDS)
    return [name for name in names if (folder / name).is_file()]


def _apart(one: Path, other: Path) -> np.ndarray:
    """By how much each pixel differs."""
    first, second = (_read(path).astype(int) for path in (one, other))
    assert first.shape == second.shape, f"{one} is {first.shape}, {other} is {second.shape}"
    return np.abs(first - second)


def _read(path: Path) -> np.ndarray:
    if path.suffix == ".tif":
        import rasterio

        with rasterio.open(path) as raster:
            return raster.read(1)
    import cv2

    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def _numbers(one: Any, other: Any) -> float | None:
    """Of two JSON values: their largest difference. None where more than numbers differs."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return _largest([_numbers(one[key], other[key]) for key in one])
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return _largest([_numbers(a, b) for a, b in zip(one, other, strict=True)])
    if isinstance(one, int | float) and isinstance(other, int | float):
        return float(abs(one - other))
    return 0.0 if one == other else None


def _largest(found: list[float | None]) -> float | None:
    numbers = [each for each in found if each is not None]
    return max(numbers, default=0.0) if len(numbers) == len(found) else None

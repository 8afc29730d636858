"""How alike two folders of maps are: the same pair and engine, mapped by two installations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PROBABILITY_STEP = 1
"""Most that a probability (x 255) may differ: another library rounds another way."""
MOST_NUMBER = 0.005
"""Most that a number of a polygon may differ: its confidence, a mean of such probabilities."""


@dataclass(frozen=True)
class Likeness:
    """Pixels that differ, by map, with the largest difference, and the same for the polygons."""

    same_bytes: bool
    maps: dict[str, tuple[int, int]]
    polygons: float

    @property
    def holds(self) -> bool:
        """The damage is the same pixel for pixel, and so are the outlines' classes and places."""
        steps = {"damage": 0}
        return self.polygons <= MOST_NUMBER and all(
            most <= steps.get(name, PROBABILITY_STEP) for name, (_, most) in self.maps.items()
        )

    def __str__(self) -> str:
        if self.same_bytes:
            return "same bytes"
        told = [
            f"{name}: {count} px differ by up to {most}" if count else f"{name}: same pixels"
            for name, (count, most) in self.maps.items()
        ]
        polygons = f"numbers differ by up to {self.polygons:.1g}" if self.polygons else "equal"
        return "; ".join([*told, f"polygons: {polygons}"])


def compare(one: Path, other: Path) -> Likeness:
    """Raises AssertionError where they do not hold the same files or polygons."""
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir()), f"{one} and {other}: {names}"
    rasters = [name for name in names if name.split(".")[0] in ("damage", "building", "confidence")]
    rasters = [name for name in rasters if name.endswith((".png", ".tif"))]
    assert rasters, f"{one}: holds no map"
    outputs = [*rasters, "buildings.geojson"]
    same = all((one / name).read_bytes() == (other / name).read_bytes() for name in outputs)
    maps = {Path(name).stem: _pixels(one / name, other / name) for name in rasters}
    lines = [json.loads((each / "buildings.geojson").read_text()) for each in (one, other)]
    return Likeness(same, maps, _apart(*lines))


def _pixels(one: Path, other: Path) -> tuple[int, int]:
    """How many differ, and by how much at most."""
    first, second = (_read(path).astype(int) for path in (one, other))
    assert first.shape == second.shape, f"{one} is {first.shape}, {other} is {second.shape}"
    apart = np.abs(first - second)
    return int(np.count_nonzero(apart)), int(apart.max())


def _read(path: Path) -> np.ndarray:
    if path.suffix == ".tif":
        import rasterio

        with rasterio.open(path) as raster:
            return raster.read(1)
    import cv2

    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def _apart(one: Any, other: Any) -> float:
    """Of two JSON values: their largest difference. All but numbers must be equal."""
    if isinstance(one, dict) and isinstance(other, dict):
        assert one.keys() == other.keys(), f"{sorted(one)} and {sorted(other)}"
        return max((_apart(one[key], other[key]) for key in one), default=0.0)
    if isinstance(one, list) and isinstance(other, list):
        assert len(one) == len(other), f"{len(one)} and {len(other)} items"
        return max((_apart(a, b) for a, b in zip(one, other, strict=True)), default=0.0)
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other)
    assert one == other, f"{one!r} and {other!r}"
    return 0.0

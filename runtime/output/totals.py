"""Sums over a scene's buildings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class BuildingTotals:
    """Sums by the damage class of a building; 255 is that of footprints without a grade.

    area_m2: None where the ground is not known.
    cut: buildings by what cuts them, see `marks.CUTS`.
    """

    buildings: Mapping[int, int] = field(default_factory=dict)
    area_px: Mapping[int, int] = field(default_factory=dict)
    area_m2: Mapping[int, float] | None = None
    cut: Mapping[str, int] = field(default_factory=dict)

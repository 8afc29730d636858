"""A building of a finished map, and all of them as columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.corrections import rings
from runtime.corrections.blob import Ring


@dataclass(frozen=True, eq=False)
class Building:
    """One building of a map.

    id: the feature's number, as a GIS shows it.
    damage_class: as mapped. corrected: what a person says; the same where it was found right.
    shares: by class; None where the map does not say.
    polygons: in pixels; one, or of a footprint several.
    lon, lat: of its centre; None for a picture.
    """

    id: int
    damage_class: str
    corrected: str | None
    confidence: float
    shares: dict[str, float] | None
    area_px: int
    area_m2: float | None
    cut: str
    polygons: tuple[tuple[Ring, ...], ...]
    lon: float | None = None
    lat: float | None = None

    @property
    def ring(self) -> list[tuple[float, float]]:
        """The exterior of its largest part, pixels; closed."""
        if not self.polygons:
            return []
        return [(x, y) for x, y in rings.largest(self.polygons)[0].tolist()]

    @property
    def centre(self) -> tuple[float, float]:
        return rings.centre(rings.largest(self.polygons))


@dataclass(frozen=True, eq=False)
class Columns:
    """ids int64 [N], classes object [N], confidence [N], shares of classes 1 to 4 [N,4]."""

    ids: NDArray[np.int64]
    classes: NDArray[Any]
    confidence: NDArray[np.float64]
    shares: NDArray[np.float64]

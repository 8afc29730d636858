"""The ground of a map in cells, in which a person looks for buildings that the map has not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.corrections.finished_map import FinishedMap
from runtime.damage import BACKGROUND, NODATA
from runtime.errors import ConfigError
from runtime.output.maps import reader
from runtime.scene.unfinished import Read

LARGEST, SMALLEST = 128, 32
"""Pixels of a cell's side: what a person takes in at a glance, and hardly less than a building."""

CELLS_A_CHECK = 4
"""Cells for each that is looked at, where the scene is small."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Those with ground that was computed. left, top [M]: pixels. suspicion [M].

    suspicion: pixels without a building, each by the probability that it is one after all.
    side: pixels; cells at the scene's right and lower border may be narrower.
    without: cells of which nothing was computed. partly: of those here, how many not whole.
    """

    side: int
    left: NDArray[np.int64]
    top: NDArray[np.int64]
    suspicion: NDArray[np.float64]
    without: int
    partly: int

    def __len__(self) -> int:
        return len(self.left)

    def ring(self, index: int, height: int, width: int) -> NDArray[np.float64]:
        left, top = float(self.left[index]), float(self.top[index])
        right, bottom = min(left + self.side, width), min(top + self.side, height)
        corners = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
        return np.array(corners)


def side_for(height: int, width: int, checked: int) -> int:
    """So small that there are several cells for each that is checked."""
    wanted = int(np.sqrt(height * width / max(CELLS_A_CHECK * checked, 1)))
    return int(np.clip(wanted, SMALLEST, LARGEST))


def cells_of(of: FinishedMap, side: int) -> Cells:
    """Reads the damage map and the confidence map once, a row of cells at a time."""
    suffix = ".tif" if of.placed else ".png"
    damage, confidence = (
        _reader(of.folder / f"{name}{suffix}") for name in ("damage", "confidence")
    )
    tops, lefts = np.arange(0, of.height, side), np.arange(0, of.width, side)
    suspicion, known, unknown = [], [], []
    for top in tops.tolist():
        rows = min(side, of.height - top)
        classes, sure = damage(top, rows), confidence(top, rows)
        doubt = np.where(classes == BACKGROUND, 1 - sure / 255.0, 0.0).sum(axis=0)
        suspicion.append(np.add.reduceat(doubt, lefts))
        holes = (classes == NODATA).sum(axis=0)
        unknown.append(np.add.reduceat(holes, lefts))
        known.append(np.add.reduceat(rows - holes, lefts))
    there = np.array(known) > 0
    at = np.argwhere(there)
    return Cells(
        side,
        lefts[at[:, 1]].astype(np.int64),
        tops[at[:, 0]].astype(np.int64),
        np.array(suspicion)[there],
        int((~there).sum()),
        int((np.array(unknown)[there] > 0).sum()),
    )


def _reader(path: Path) -> Read:
    if not path.is_file():
        raise ConfigError(f"{path}: is missing; expected the map's own file, copy its folder again")
    return reader(path)

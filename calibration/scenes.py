"""Labelled scenes of one size: what an accuracy is measured on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from runtime import cli
from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES
from runtime.errors import DataError
from train.xbd import Tile


@dataclass(frozen=True, eq=False)
class Scene:
    """A window of a labelled tile; images uint8 [H, W, 3] RGB, targets uint8 [H, W]."""

    name: str
    pre: np.ndarray
    post: np.ndarray
    building: np.ndarray
    damage: np.ndarray


def cut_scenes(tiles: Iterable[Tile], height: int, width: int) -> list[Scene]:
    """Every whole window of [height, width] of every tile, from the top left.

    Raises:
        DataError: no tile is that large.
    """
    scenes = [scene for tile in tiles for scene in _windows(tile, height, width)]
    if not scenes:
        raise DataError(
            f"no labelled tile is {height}x{width} or larger, so accuracy cannot be measured; "
            "choose a smaller --size, or other --data"
        )
    return scenes


def check_buildings(scenes: Sequence[Scene]) -> None:
    """Where nothing is built nothing can be lost, so that every engine would pass.

    Raises:
        DataError: no scene shows a building.
    """
    shown = {int(value) for scene in scenes for value in np.unique(scene.damage)}
    if not any(scene.building.any() for scene in scenes):
        raise DataError(
            f"none of the {len(scenes)} labelled scenes shows a building, so accuracy cannot be "
            "measured; choose another --split or other --data"
        )
    absent = [CLASS_NAMES[value] for value in DAMAGE_CLASSES if value not in shown]
    if absent:
        cli.note(f"note: no labelled scene shows {', '.join(absent)}: its loss is not measured")


def _windows(tile: Tile, height: int, width: int) -> Iterator[Scene]:
    pre, post = tile.images()
    building, damage = tile.targets(*pre.shape[:2])
    for top in range(0, pre.shape[0] - height + 1, height):
        for left in range(0, pre.shape[1] - width + 1, width):
            rows, columns = slice(top, top + height), slice(left, left + width)
            arrays = [array[rows, columns] for array in (pre, post, building, damage)]
            yield Scene(f"{tile.name} at {top},{left}", *arrays)

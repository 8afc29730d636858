"""The buildings of a map."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from runtime.buildings.components import components
from runtime.buildings.marks import cut_of
from runtime.buildings.votes import Building, building_of
from runtime.scene.strip import Strip


def buildings(strips: Iterable[Strip], min_area: int = 1) -> Iterator[Building]:
    """The buildings of a scene: 4-connected components of pixels whose damage is 1..4.

    They come as the strips do, see `components.components`.
    min_area: pixels; smaller buildings are left out.
    """
    for each in components(strips, min_area):
        yield building_of(each.pixels.tolist(), each.votes.tolist(), each.rings, cut_of(each.marks))


def find_buildings(
    damage: NDArray[np.uint8], confidence: NDArray[np.uint8], min_area: int = 1
) -> list[Building]:
    """The buildings of a map: 4-connected components of pixels whose damage is 1..4.

    Args:
        damage: uint8 [H,W], classes of the damage scale; 255 is nodata, which is no building.
        confidence: uint8 [H,W], probability of the class x 255.
        min_area: pixels; smaller buildings are left out.

    Returns:
        One each, from top to bottom and left to right.
    """
    return in_reading_order(buildings([Strip(0, damage, confidence)], min_area))


def in_reading_order(found: Iterable[Building]) -> list[Building]:
    """By the top row, and in it the leftmost pixel, of each: where its exterior begins."""
    return sorted(found, key=lambda each: each.rings[0][0, ::-1].tolist())

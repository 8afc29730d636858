"""The buildings of a map."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.buildings.components import Component, components
from runtime.buildings.marks import BORDER, MARK, NOT_COMPUTED, cut_of, touching
from runtime.buildings.necks import MOST_PIXELS, separate
from runtime.buildings.outlines import Ring
from runtime.buildings.regular import REACH, regular
from runtime.buildings.votes import Building, building_of, building_pixels, count_votes
from runtime.damage import NODATA
from runtime.scene.strip import Strip


@dataclass(frozen=True)
class Maps:
    """The maps of a scene of [height, width], as far as their strips have come.

    read: "damage" or "confidence", top, left, height and width of a window within the scene
        -> uint8 [height,width].
    """

    height: int
    width: int
    read: Callable[[str, int, int, int, int], NDArray[np.uint8]]

    def around(self, name: str, top: int, left: int, height: int, width: int) -> NDArray[np.uint8]:
        """The same for any window; 0 outside of the scene."""
        found = np.zeros((height, width), np.uint8)
        first, last = max(top, 0), min(top + height, self.height)
        begin, end = max(left, 0), min(left + width, self.width)
        found[first - top : last - top, begin - left : end - left] = self.read(
            name, first, begin, last - first, end - begin
        )
        return found


def buildings(
    strips: Iterable[Strip], min_area: int = 1, maps: Maps | None = None
) -> Iterator[Building]:
    """The buildings of a scene, which come as the strips do, see `components.components`.

    min_area: pixels; smaller buildings are left out, and parts of a component are not smaller.
    maps: what the strips are of, with all of a strip's rows before it comes: buildings that touch
        are told apart and have straight outlines. None: each component is a building, with its
        exact outline.
    """
    if maps is not None:
        return _apart(strips, min_area, maps)
    return (_whole(each) for each in components(strips, min_area))


def find_buildings(
    damage: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
    min_area: int = 1,
    raw_outlines: bool = False,
) -> list[Building]:
    """The buildings of a map: pixels whose damage is 1..4 and that hang together.

    Args:
        damage: uint8 [H,W], classes of the damage scale; 255 is nodata, which is no building.
        confidence: uint8 [H,W], probability of the class x 255.
        min_area: pixels; smaller buildings are left out.
        raw_outlines: 4-connected components along the edges of their pixels. Else buildings that
            touch are told apart at narrow necks, and outlines are straight.

    Returns:
        One each, from top to bottom and left to right.
    """
    whole = {"damage": damage, "confidence": confidence}

    def read(name: str, top: int, left: int, height: int, width: int) -> NDArray[np.uint8]:
        return whole[name][top : top + height, left : left + width]

    maps = None if raw_outlines else Maps(damage.shape[0], damage.shape[1], read)
    return in_reading_order(buildings([Strip(0, damage, confidence)], min_area, maps))


def in_reading_order(found: Iterable[Building]) -> list[Building]:
    """By the topmost, and of these the leftmost, corner of each: where its exterior begins."""
    return sorted(found, key=lambda each: each.rings[0][0, ::-1].tolist())


def _whole(each: Component) -> Building:
    return building_of(each.pixels.tolist(), each.votes.tolist(), each.rings, cut_of(each.marks))


def _apart(strips: Iterable[Strip], min_area: int, maps: Maps) -> Iterator[Building]:
    done = 0

    def watched() -> Iterator[Strip]:
        nonlocal done
        for strip in strips:
            done = strip.top + len(strip.damage)
            yield strip

    waiting: list[Component] = []
    waited = 0
    for each in components(watched(), min_area):
        if done > waited:
            ready, waiting = waiting, []
            for other in ready:
                yield from _parts(other, min_area, maps)
            waited = done
        # What lies below it, as far as it matters, has to be known.
        if min(int(each.rings[0][:, 1].max()) + REACH, maps.height) <= done:
            yield from _parts(each, min_area, maps)
        else:
            waiting.append(each)
    for each in waiting:
        yield from _parts(each, min_area, maps)


def _parts(each: Component, min_area: int, maps: Maps) -> Iterator[Building]:
    """The buildings of a component; the component itself where its box is too large."""
    left, top = each.rings[0].min(axis=0).tolist()
    right, bottom = each.rings[0].max(axis=0).tolist()
    height, width = bottom - top, right - left
    if height * width > MOST_PIXELS:
        yield _whole(each)
        return
    origin = np.array((left, top), np.int32)
    rings = [ring - origin for ring in each.rings]
    mask = mask_of(rings, height, width)
    labels, count = separate(mask, min_area)
    frame = (top - REACH, left - REACH, height + 2 * REACH, width + 2 * REACH)
    damage = maps.around("damage", *frame)
    foreign = building_pixels(damage).astype(np.bool_)
    inner = slice(REACH, -REACH), slice(REACH, -REACH)
    foreign[inner] &= mask == 0
    corner = np.array((maps.width, maps.height), np.float64)
    limits = -origin.astype(np.float64), corner - origin
    shapes = regular(labels, count, rings, foreign, limits)
    outlines = [tuple(_begun(ring) + origin for ring in shape) for shape in shapes]
    if count == 1:
        yield building_of(
            each.pixels.tolist(), each.votes.tolist(), outlines[0], cut_of(each.marks)
        )
        return
    confidence = maps.read("confidence", top, left, height, width)
    pixels, votes = count_votes(labels, count + 1, damage[inner], confidence)
    marks = np.zeros(count + 1, MARK)
    for line, at_border in (
        (labels[0], top == 0),
        (labels[-1], bottom == maps.height),
        (labels[:, 0], left == 0),
        (labels[:, -1], right == maps.width),
    ):
        if at_border:
            marks[line] |= BORDER
    marks[labels[touching(damage == NODATA)[inner]]] |= NOT_COMPUTED
    for part, outline in enumerate(outlines, 1):
        cut = cut_of(int(marks[part]))
        yield building_of(pixels[part].tolist(), votes[part].tolist(), outline, cut)


def mask_of(rings: Iterable[Ring], height: int, width: int) -> NDArray[np.uint8]:
    """The pixels inside an exact outline, uint8 [height,width]."""
    turns = np.zeros((height + 1, width + 1), np.int8)
    for ring in rings:
        # Turns alternate along a ring, and it begins with a positive one, see `outlines`.
        np.add.at(turns, (ring[::2, 1], ring[::2, 0]), 1)
        np.add.at(turns, (ring[1::2, 1], ring[1::2, 0]), -1)
    mask = turns.cumsum(axis=0, dtype=np.int8).cumsum(axis=1, dtype=np.int8)
    return mask[:-1, :-1].astype(np.uint8)


def _begun(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """From its topmost corner on, the leftmost of these."""
    return np.roll(ring, -int(np.lexsort((ring[:, 0], ring[:, 1]))[0]), axis=0)

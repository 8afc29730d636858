"""Buildings of a map that comes as strips: components joined across the strips' borders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.buildings.outlines import Corners, corners_of, outlines
from runtime.buildings.votes import Building, building_of, building_pixels, count_votes
from runtime.scene.strip import Strip


def buildings(strips: Iterable[Strip], min_area: int = 1) -> Iterator[Building]:
    """The buildings of a scene: 4-connected components of pixels whose damage is 1..4.

    Pixels of NODATA belong to no building. A building comes once the last of its pixels has, so
    that only those at the border of the last strip are held: their outlines and votes, not
    their pixels.

    strips: from top to bottom, without a gap (else ValueError).
    min_area: pixels; smaller buildings are left out.
    """
    border = _Border()
    for strip in strips:
        for part in strip.parts():
            yield from border.advance(part, min_area)
    yield from border.close(min_area)


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


@dataclass(eq=False)
class _Open:
    """A building that the next strip may go on with.

    pixels, votes: int64 [4], see `buildings.count_votes`.
    """

    pixels: NDArray[np.int64]
    votes: NDArray[np.int64]
    corners: list[Corners]

    def take(self, other: _Open) -> None:
        self.pixels = self.pixels + other.pixels
        self.votes = self.votes + other.votes
        self.corners.extend(other.corners)


class _Border:
    """The last row so far, and the buildings that touch it."""

    def __init__(self) -> None:
        self._bottom: int | None = None
        self._row = np.zeros(0, np.intp)  # 1 + the building's number in _open, 0 for none
        self._open: list[_Open] = []

    def advance(self, strip: Strip, min_area: int) -> Iterator[Building]:
        """Join the strip; the buildings that are complete with it."""
        self._follow(strip)
        if not len(strip.damage):
            return
        padded, count = _labelled(strip.damage)
        labels = padded[1:-1, 1:-1]
        pixels, votes = count_votes(labels, count, strip.damage, strip.confidence)
        corners = corners_of(padded, strip.top)
        first, last = labels[0], labels[-1]
        at_border = np.unique(np.concatenate([first[self._row > 0], last]))
        at_border = at_border[at_border > 0]
        # 1 + the number in `parts` of the labels at a border, 0 for all others.
        part_of = np.zeros(count, np.intp)
        part_of[at_border] = len(self._open) + 1 + np.arange(len(at_border))
        parts = self._open + _parts(at_border, pixels, votes, corners)
        heads = _join(parts, self._row, part_of[first])
        still_open, numbers = np.unique(heads[part_of[last[last > 0]] - 1], return_inverse=True)
        self._row = np.zeros_like(self._row)
        self._row[last > 0] = 1 + numbers
        self._open = [parts[number] for number in still_open]
        complete = part_of == 0
        complete[0] = False
        complete &= pixels.sum(axis=1) >= min_area
        closed = [parts[number] for number in np.setdiff1d(heads, still_open)]
        yield from _finished(closed, min_area)
        yield from _built(pixels, votes, corners[complete[corners.owner]])

    def _follow(self, strip: Strip) -> None:
        height, width = strip.damage.shape
        if self._bottom is None:
            self._row = np.zeros(width, np.intp)
        elif (self._bottom, len(self._row)) != (strip.top, width):
            raise ValueError(
                f"strip of rows from {strip.top}, {width} columns; expected rows from "
                f"{self._bottom}, {len(self._row)} columns"
            )
        self._bottom = strip.top + height

    def close(self, min_area: int) -> Iterator[Building]:
        yield from _finished(self._open, min_area)
        self._open = []


def _labelled(damage: NDArray[np.uint8]) -> tuple[NDArray[np.int32], int]:
    """Component numbers from 1 in a margin of zeros, [h+2,W+2], and 1 + how many there are."""
    mask = np.pad(building_pixels(damage), 1)
    count, labels = cv2.connectedComponents(mask, connectivity=4)
    return np.asarray(labels, np.int32), count


def _parts(
    labels: NDArray[np.int32],
    pixels: NDArray[np.int64],
    votes: NDArray[np.int64],
    corners: Corners,
) -> list[_Open]:
    begins = np.searchsorted(corners.owner, labels).tolist()
    ends = np.searchsorted(corners.owner, labels, side="right").tolist()
    return [
        _Open(pixels[label].copy(), votes[label].copy(), [corners[begin:end]])
        for label, begin, end in zip(labels.tolist(), begins, ends, strict=True)
    ]


def _join(parts: list[_Open], above: NDArray[np.intp], below: NDArray[np.intp]) -> NDArray[np.intp]:
    """Merge the parts that lie above one another; for each part, the one it is now part of.

    above, below: [W], 1 + the number of a part, 0 for none, in the two rows that meet.
    """
    heads = list(range(len(parts)))

    def head(number: int) -> int:
        while heads[number] != number:
            heads[number] = heads[heads[number]]
            number = heads[number]
        return number

    touch = (above > 0) & (below > 0)
    pairs = np.unique((above[touch] - 1) * len(parts) + below[touch] - 1)
    for pair in pairs.tolist():
        large, small = (head(number) for number in divmod(pair, len(parts)))
        if large == small:
            continue
        if len(parts[large].corners) < len(parts[small].corners):
            large, small = small, large
        parts[large].take(parts[small])
        heads[small] = large
    return np.array([head(number) for number in range(len(parts))], np.intp)


def _finished(complete: list[_Open], min_area: int) -> Iterator[Building]:
    large = [each for each in complete if each.pixels.sum() >= min_area]
    if large:
        yield from _built(
            np.array([each.pixels for each in large]),
            np.array([each.votes for each in large]),
            Corners.together(
                [part.owned_by(i) for i, each in enumerate(large) for part in each.corners]
            ),
        )


def _built(
    pixels: NDArray[np.int64], votes: NDArray[np.int64], corners: Corners
) -> Iterator[Building]:
    """One building an owner of corners, whose rows of `pixels` and `votes` are its own."""
    for owner, rings in outlines(corners).items():
        yield building_of(pixels[owner].tolist(), votes[owner].tolist(), rings)

"""Components of a map that comes as strips, joined across the strips' borders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.buildings.marks import BORDER, CONTACT, MARK, NOT_COMPUTED, marks_of
from runtime.buildings.outlines import Corners, Ring, corners_of, outlines
from runtime.buildings.votes import building_pixels, count_votes
from runtime.damage import NODATA
from runtime.scene.strip import Strip


@dataclass(frozen=True, eq=False)
class Component:
    """4-connected pixels whose damage is 1..4, and no others that touch them so.

    pixels, votes: int64 [4], see `votes.count_votes`.
    rings: its exact outline, see `outlines.outlines`.
    marks: bits of `marks`.
    """

    pixels: NDArray[np.int64]
    votes: NDArray[np.int64]
    rings: tuple[Ring, ...]
    marks: int

    @property
    def area(self) -> int:
        """Pixels."""
        return int(self.pixels.sum())


def components(strips: Iterable[Strip], min_area: int = 1) -> Iterator[Component]:
    """Pixels of NODATA belong to none. A component comes once the last of its pixels has, so that
    only those at the border of the last strip are held: their outlines and votes, not their
    pixels.

    strips: from top to bottom, without a gap (else ValueError).
    min_area: pixels; smaller ones are left out.
    """
    border = _Border()
    for strip in strips:
        for part in strip.parts():
            yield from border.advance(part, min_area)
    yield from border.close(min_area)


@dataclass(eq=False)
class _Open:
    """A component that the next strip may go on with.

    pixels, votes: int64 [4], see `votes.count_votes`. marks: see `marks`.
    """

    pixels: NDArray[np.int64]
    votes: NDArray[np.int64]
    corners: list[Corners]
    marks: int

    def take(self, other: _Open) -> None:
        self.pixels = self.pixels + other.pixels
        self.votes = self.votes + other.votes
        self.corners.extend(other.corners)
        self.marks |= other.marks


class _Border:
    """The last row so far, and the components that touch it."""

    def __init__(self) -> None:
        self._bottom: int | None = None
        self._row = np.zeros(0, np.intp)  # 1 + the component's number in _open, 0 for none
        self._unknown = np.zeros(0, np.bool_)  # where the row is NODATA
        self._open: list[_Open] = []

    def advance(self, strip: Strip, min_area: int) -> Iterator[Component]:
        """Join the strip; the components that are complete with it."""
        top = self._bottom is None
        self._follow(strip)
        if not len(strip.damage):
            self._bottom = None if top else self._bottom
            return
        padded, count = _labelled(strip.damage)
        labels = padded[1:-1, 1:-1]
        pixels, votes = count_votes(labels, count, strip.damage, strip.confidence)
        corners = corners_of(padded, strip.top)
        marks = marks_of(padded, count, strip.damage)
        first, last = labels[0], labels[-1]
        if top:
            marks[first] |= BORDER
        marks[first[self._unknown]] |= NOT_COMPUTED
        at_border = np.unique(np.concatenate([first[_beside(self._row > 0)], last]))
        at_border = at_border[at_border > 0]
        # 1 + the number in `parts` of the labels at a border, 0 for all others.
        part_of = np.zeros(count, np.intp)
        part_of[at_border] = len(self._open) + 1 + np.arange(len(at_border))
        above, unknown = self._row, strip.damage == NODATA
        for number in np.unique(above[unknown[0] & (above > 0)]).tolist():
            self._open[number - 1].marks |= NOT_COMPUTED
        parts = self._open + _parts(at_border, pixels, votes, corners, marks)
        heads = _join(parts, above, part_of[first])
        _mark_contacts(parts, heads, above, part_of[first])
        still_open, numbers = np.unique(heads[part_of[last[last > 0]] - 1], return_inverse=True)
        self._row = np.zeros_like(above)
        self._row[last > 0] = 1 + numbers
        self._unknown = unknown[-1].copy()
        self._open = [parts[number] for number in still_open]
        complete = part_of == 0
        complete[0] = False
        complete &= pixels.sum(axis=1) >= min_area
        closed = [parts[number] for number in np.setdiff1d(heads, still_open)]
        yield from _finished(closed, min_area)
        yield from _built(pixels, votes, marks, corners[complete[corners.owner]])

    def _follow(self, strip: Strip) -> None:
        height, width = strip.damage.shape
        if self._bottom is None:
            self._row = np.zeros(width, np.intp)
            self._unknown = np.zeros(width, np.bool_)
        elif (self._bottom, len(self._row)) != (strip.top, width):
            raise ValueError(
                f"strip of rows from {strip.top}, {width} columns; expected rows from "
                f"{self._bottom}, {len(self._row)} columns"
            )
        self._bottom = strip.top + height

    def close(self, min_area: int) -> Iterator[Component]:
        for each in self._open:
            each.marks |= BORDER
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
    marks: NDArray[np.uint8],
) -> list[_Open]:
    begins = np.searchsorted(corners.owner, labels).tolist()
    ends = np.searchsorted(corners.owner, labels, side="right").tolist()
    return [
        _Open(pixels[label].copy(), votes[label].copy(), [corners[begin:end]], int(marks[label]))
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


def _beside(row: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where it or a neighbour is true."""
    found = row.copy()
    found[1:] |= row[:-1]
    found[:-1] |= row[1:]
    return np.asarray(found)


def _mark_contacts(
    parts: list[_Open], heads: NDArray[np.intp], above: NDArray[np.intp], below: NDArray[np.intp]
) -> None:
    """Those that touch in a corner where the two rows of `_join` meet, and are not one."""
    for one, other in ((above[:-1], below[1:]), (above[1:], below[:-1])):
        touch = (one > 0) & (other > 0)
        first, second = heads[one[touch] - 1], heads[other[touch] - 1]
        for number in np.unique(np.concatenate([first, second])[np.tile(first != second, 2)]):
            parts[number].marks |= CONTACT


def _finished(complete: list[_Open], min_area: int) -> Iterator[Component]:
    large = [each for each in complete if each.pixels.sum() >= min_area]
    if large:
        yield from _built(
            np.array([each.pixels for each in large]),
            np.array([each.votes for each in large]),
            np.array([each.marks for each in large], MARK),
            Corners.together(
                [part.owned_by(i) for i, each in enumerate(large) for part in each.corners]
            ),
        )


def _built(
    pixels: NDArray[np.int64],
    votes: NDArray[np.int64],
    marks: NDArray[np.uint8],
    corners: Corners,
) -> Iterator[Component]:
    """One component an owner of corners, whose rows of the others are its own."""
    for owner, rings in outlines(corners).items():
        yield Component(pixels[owner].copy(), votes[owner].copy(), rings, int(marks[owner]))

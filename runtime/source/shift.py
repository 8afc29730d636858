"""How far two images of one grid lie beside each other, measured by what they show.

Blocks all over the scene are looked for in the other image: large ones at half the size first,
which finds shifts of up to `REACH` pixels; then smaller ones in full, in the image as it lies
through the field that was found so far. Their number is bounded, whatever the size of the scene.
The whole images alone decide, not how they are cut into windows, and nothing is drawn by chance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.errors import ImageError
from runtime.source.contract import Source
from runtime.source.correlation import Features, features, find, similarity
from runtime.source.field import Field, Points, agreeing, fitted
from runtime.source.registered import Registered

REACH = 64
"""Pixels; images that lie farther apart are not matched."""

SMALLEST = 64
"""Pixels a side of a block, and of an image of which any is measured."""

KNOWN = 0.5
"""Share of a block that is known, or it is not measured."""

RIVAL = 0.9
"""Of the score of a match, that no other place has."""

LEAST = 3
"""Blocks that agree; fewer are chance."""

AGREE = 0.5
"""Share of the matched blocks that agree, at least: or nothing is known."""


@dataclass(frozen=True)
class Pass:
    """How blocks are looked for.

    side: pixels. shrink: they are looked at at a size smaller by this. reach: pixels. most: their
    number, its root. certain: a match is so at least; of unlike places one in a hundred is.
    """

    side: int
    shrink: int
    reach: int
    most: int
    certain: float


SURVEY = Pass(256, 2, REACH, 6, 13.0)
"""What is measured of every pair."""

SEARCH = (replace(SURVEY, side=512, most=6), replace(SURVEY, most=12))
FINE = (Pass(256, 1, 16, 12, 9.5), Pass(128, 1, 12, 24, 9.5))
AGAIN = Pass(128, 1, 8, 24, 9.5)
"""While the field changes by it: at most `TURNS` times."""
TURNS = 2
CHANGED = 0.5
"""Pixels, of one in ten nodes."""


@dataclass(frozen=True, eq=False)
class Measured:
    """How the second image lies on the first.

    field: None where they could not be matched.

    points, shifts: float64 [N,2], of the blocks that agree: their centres, and how far the second
    image lies beside the first there; pixels down and across.
    blocks: that were tried. before, after: median correlation of blocks as the images lie, and
    through the field; None where it was not looked at.
    """

    field: Field | None
    points: Points
    shifts: Points
    blocks: int
    before: float | None = None
    after: float | None = None

    @property
    def lengths(self) -> NDArray[np.float64]:
        """Of the shifts, pixels."""
        return np.asarray(np.hypot(self.shifts[:, 0], self.shifts[:, 1]))


def survey(pre: Source, post: Source) -> Measured:
    """At a few blocks, whether the images lie on each other."""
    found, tried = _matched(pre, post, Field.zero(pre.height, pre.width), SURVEY)
    return _measured(pre, found, tried, SURVEY)


def measure(pre: Source, post: Source) -> Measured:
    """The field, as finely as it can be told."""
    zero = Field.zero(pre.height, pre.width)
    coarse, tried = _matched_by(pre, post, zero, SEARCH)
    best = _measured(pre, coarse, tried, SEARCH[-1])
    if best.field is None:
        return best
    found: dict[int, list[tuple[_Block, _Found]]] = {}
    tries: dict[int, int] = {}
    for turn, each in enumerate((*FINE, *(AGAIN,) * TURNS)):
        before = best.field
        assert before
        found[each.side], tries[each.side] = _matched(pre, post, before, each)
        both = [one for of_side in found.values() for one in of_side]
        now = _measured(pre, both, sum(tries.values()), each)
        if now.field is None:
            continue
        best = replace(now, before=best.before)
        if turn + 1 >= len(FINE) and _apart(before, now.field) < CHANGED:
            break
    assert best.field
    return replace(best, after=_quality(pre, post, best.field, [block for block, _ in coarse]))


def _apart(first: Field, second: Field) -> float:
    """Pixels that one in ten places is moved by another one, or more."""
    axes = (np.linspace(0, side - 1, 24) for side in (first.height, first.width))
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    return float(np.percentile(np.hypot(*(first.at(points) - second.at(points)).T), 90))


@dataclass(frozen=True)
class _Block:
    """Pixels of the scene."""

    top: int
    left: int
    side: int

    @property
    def centre(self) -> tuple[float, float]:
        return self.top + (self.side - 1) / 2, self.left + (self.side - 1) / 2


@dataclass(frozen=True)
class _Found:
    """down, across: pixels beside the first image. before: correlation there, through the field
    that it was looked for with."""

    down: float
    across: float
    before: float


def _measured(pre: Source, found: list[tuple[_Block, _Found]], tried: int, each: Pass) -> Measured:
    points = np.array([block.centre for block, _ in found]).reshape(-1, 2)
    shifts = np.array([(match.down, match.across) for _, match in found]).reshape(-1, 2)
    before = float(np.median([match.before for _, match in found])) if found else None
    agree = agreeing(points, shifts)
    none = np.zeros((0, 2))
    if agree.sum() < max(LEAST, AGREE * len(found)):
        return Measured(None, none, none, tried, before)
    shape = tuple(max(2, len(starts) + 1) for starts in _starts(pre, each))
    field, follows = fitted(
        pre.height, pre.width, (shape[0], shape[1]), points[agree], shifts[agree]
    )
    if follows.sum() < LEAST:
        return Measured(None, none, none, tried, before)
    return Measured(field, points[agree][follows], shifts[agree][follows], tried, before)


def _matched(
    pre: Source, post: Source, field: Field, each: Pass
) -> tuple[list[tuple[_Block, _Found]], int]:
    """Blocks that were found, and how many were looked for."""
    each = _fitting(pre, each)
    moved = Registered(post, field) if field.nodes.any() else post
    found, blocks = [], _blocks(pre, each)
    for block in blocks:
        pair = _features(pre, moved, block, each)
        if pair is None:
            continue
        template, region = pair
        match = find(template, region)
        if match is None or match.certainty < each.certain or match.rival > RIVAL:
            continue
        down, across = match.down * each.shrink, match.across * each.shrink
        y, x = block.centre
        at = field.at(np.array([[y + down, x + across]]))[0]
        edge = each.reach // each.shrink
        inner = region[edge : edge + len(template), edge : edge + template.shape[1]]
        there = _Found(down + at[0], across + at[1], similarity(template, inner))
        found.append((block, there))
    return found, len(blocks)


def _matched_by(
    pre: Source, post: Source, field: Field, passes: Iterable[Pass]
) -> tuple[list[tuple[_Block, _Found]], int]:
    """The same, of several sizes; those that come to one size in a small image once."""
    found, tried = [], 0
    for each in {_fitting(pre, each).side: each for each in passes}.values():
        there, blocks = _matched(pre, post, field, each)
        found += there
        tried += blocks
    return found, tried


def _quality(pre: Source, post: Source, field: Field, blocks: list[_Block]) -> float | None:
    """Median correlation of blocks through the field."""
    moved = Registered(post, field)
    found = []
    for block in blocks:
        each = replace(_fitting(pre, SEARCH[-1]), side=block.side, reach=0)
        if pair := _features(pre, moved, block, each):
            found.append(similarity(*pair))
    return float(np.median(found)) if found else None


def _fitting(pre: Source, each: Pass) -> Pass:
    """With blocks of which the image holds some, beside one another."""
    side = each.side
    while side > SMALLEST and 2 * side > min(pre.height, pre.width):
        side //= 2
    return replace(
        each, side=side, shrink=each.shrink if side > SMALLEST else 1,
        reach=min(each.reach, side // 2),
    )  # fmt: skip


def _starts(pre: Source, each: Pass) -> tuple[list[int], list[int]]:
    """Where blocks begin, down and across: half of one lies on the next, at most."""
    side = _fitting(pre, each).side
    apart = max(side / 2, float(np.sqrt(pre.height * pre.width)) / each.most)
    found = []
    for length in (pre.height, pre.width):
        room = length - side
        count = int(room / apart) + 1 if room >= 0 else 0
        # Even, so that what is shrunk begins with a whole pixel.
        found.append([2 * int(place / 2) for place in np.linspace(0, room, count)])
    return found[0], found[1]


def _blocks(pre: Source, each: Pass) -> list[_Block]:
    down, across = _starts(pre, each)
    return [_Block(top, left, each.side) for top in down for left in across]


def _features(
    pre: Source, post: Source, block: _Block, each: Pass
) -> tuple[Features, Features] | None:
    """Of the block, and of what is within reach of it; None where too little is known, or a file
    cannot be read: there the window is told of when it is mapped."""
    try:
        template = _look(pre, block.top, block.left, block.side, each.shrink)
        if template is None:
            return None
        region = _look(
            post, block.top - each.reach, block.left - each.reach, block.side + 2 * each.reach,
            each.shrink,
        )  # fmt: skip
    except ImageError:
        return None
    return None if region is None else (template, region)


def _look(source: Source, top: int, left: int, side: int, shrink: int) -> Features | None:
    """Of a square that may reach beyond the image."""
    begin = max(0, top), max(0, left)
    size = min(source.height, top + side) - begin[0], min(source.width, left + side) - begin[1]
    pixels, known = source.look(*begin, *size)
    if known is not None and known.mean() < KNOWN:
        return None
    if shrink > 1:
        small = size[0] // shrink, size[1] // shrink
        cut = small[0] * shrink, small[1] * shrink
        pixels = np.asarray(
            cv2.resize(pixels[: cut[0], : cut[1]], small[::-1], interpolation=cv2.INTER_AREA),
            np.uint8,
        )
        if known is not None:
            parts = known[: cut[0], : cut[1]].reshape(small[0], shrink, small[1], shrink)
            known = np.asarray(parts.all(axis=(1, 3)))
    found = features(pixels, known)
    whole = side // shrink
    if found.shape[:2] == (whole, whole):
        return found
    placed = np.zeros((whole, whole, 2), np.float32)
    y, x = (begin[0] - top) // shrink, (begin[1] - left) // shrink
    placed[y : y + len(found), x : x + found.shape[1]] = found
    return placed

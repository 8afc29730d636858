"""Straight outlines: a ring of pixel edges becomes a few lines, at right angles where they nearly
are.

A ring is followed along the middles of its unit edges, which lie closer to a wall than the corners
of its stairs. It is cut where it bends. Each piece becomes the line that leaves the area on both of
its sides as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.buildings.outlines import Ring

Points = NDArray[np.float64]
"""float64 [K,2], x and y."""

BEND = 0.8
"""Pixels that a piece may bend from its chord."""

CLOSE = 0.35
"""The same, where that is too far away."""

ROUNDS = 3
"""Of looking where that is."""

AROUND = 5
"""Unit edges along which the nearest point to a corner is looked for."""

SQUARE = np.radians(18)
"""From the component's direction, within which a line is turned into it."""

SHORT = 2.0
"""Pixels; a shorter piece is a rounded corner."""

STEEP = np.sin(np.radians(20))
"""Lines that meet at less meet where the ring bends, not where they cross."""

CERTAIN = 0.5
"""Of 1, how far the edges of a component must agree in one direction."""

GRID = 64
"""Parts of a pixel that corners are rounded to: small, and exact in numbers of any kind."""


@dataclass(frozen=True, eq=False)
class Straight:
    """A ring of lines.

    firsts, lasts: [K], the unit edges first..last-1 of the ring that a line stands for, counted on
        beyond its end. corners: [K,2], where each line begins. exact: are they the ring's own?
    """

    firsts: NDArray[np.intp]
    lasts: NDArray[np.intp]
    corners: Points
    exact: bool = False

    def at(self, position: int, point: NDArray[np.float64], length: int) -> tuple[int, Points]:
        """The line that has taken the place of a point of the ring of `length` unit edges, and
        where on it the point comes to lie: on the grid."""
        here = (self.firsts <= position) & (position < self.lasts)
        later = (self.firsts <= position + length) & (position + length < self.lasts)
        index = int((here | later).argmax())
        begin, end = self.corners[index], self.corners[(index + 1) % len(self.corners)]
        along = end - begin
        share = float((point - begin) @ along / max(float(along @ along), 1e-12))
        return index, rounded(begin + min(max(share, 0.0), 1.0) * along)


def following(values: NDArray[Any]) -> NDArray[Any]:
    """Of each in a ring, the next one."""
    return np.concatenate([values[1:], values[:1]])


def rounded(points: Points) -> Points:
    return np.round(points * GRID) / GRID


def unit_points(ring: Ring) -> NDArray[np.int32]:
    """Every grid point along a ring, from its first corner: [L,2] for L unit edges."""
    steps = following(ring) - ring
    lengths = np.abs(steps).sum(axis=1)
    which = np.repeat(np.arange(len(ring)), lengths)
    along = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.asarray(ring[which] + np.sign(steps)[which] * along[:, np.newaxis], np.int32)


def bends(points: NDArray[np.int32], bend: float = BEND) -> NDArray[np.intp]:
    """The unit edges, ascending, in whose middles a ring of unit points bends."""
    doubled = points + following(points)
    found = cv2.approxPolyDP(doubled[:, np.newaxis], 2 * bend, True)[:, 0]
    side = int(doubled[:, 0].max()) + 1
    keys = doubled[:, 1].astype(np.int64) * side + doubled[:, 0]
    order = np.argsort(keys)
    wanted = found[:, 1].astype(np.int64) * side + found[:, 0]
    return np.sort(order[np.searchsorted(keys[order], wanted)])


def direction_of(points: NDArray[np.int32]) -> float | None:
    """Radians of the direction that most of a ring's length has, or is at right angles to; None
    where there is none."""
    at = bends(points)
    corners = points[at] + following(points)[at]
    edges = following(corners) - corners
    weights = (edges**2).sum(axis=1)
    total = np.sum(weights * np.exp(4j * np.arctan2(edges[:, 1], edges[:, 0])))
    if abs(total) < CERTAIN * weights.sum():
        return None
    return float(np.angle(total) / 4)


def straighten(
    points: NDArray[np.int32], direction: float | None, tolerance: float
) -> Straight | None:
    """The ring of unit points as lines, each within `tolerance` of all that it stands for; None
    where there are none.

    Where a line would lie farther than `tolerance` from what it stands for, the ring is followed
    more closely.
    """
    ring = _Ring.of(points)
    at = bends(points)
    found = ring.straight(at, np.zeros(len(at), np.bool_), direction)
    finer, close = None, np.zeros(len(points), np.bool_)
    for _ in range(ROUNDS):
        if found is None:
            return None
        far = _far(points, found, tolerance)
        if not far.any():
            return found
        for first, last in zip(found.firsts[far].tolist(), found.lasts[far].tolist(), strict=True):
            close[np.arange(first, last) % len(points)] = True
        finer = bends(points, CLOSE) if finer is None else finer
        every = np.union1d(at, finer[close[finer]])
        found = ring.straight(every, close[every], direction)
    return found if found and not _far(points, found, tolerance).any() else None


@dataclass(frozen=True, eq=False)
class _Ring:
    """What lines are fitted to.

    middles: [L,2], of unit edges. sums: [2L+1,8], over the edges before each, twice round: steps,
    middles, and products of middles and steps.
    """

    middles: Points
    sums: NDArray[np.float64]
    area: float

    @classmethod
    def of(cls, points: NDArray[np.int32]) -> _Ring:
        ends = following(points)
        middles, steps = (points + ends) / 2, (ends - points).astype(np.float64)
        (x, y), (u, v) = middles.T, steps.T
        once = np.column_stack([u, v, x, y, x * u, x * v, y * u, y * v])
        sums = np.zeros((2 * len(points) + 1, 8))
        np.cumsum(np.concatenate([once, once]), axis=0, out=sums[1:])
        return cls(middles, sums, area_of(points.astype(np.float64)))

    def straight(
        self, at: NDArray[np.intp], close: NDArray[np.bool_], direction: float | None
    ) -> Straight | None:
        """Lines between bends at these unit edges. close: [K], keep what begins there as it is."""
        firsts, lasts, angles = self._pieces(at, close, direction)
        if len(firsts) < 3:
            return None
        along = np.column_stack([np.cos(angles), np.sin(angles)])
        normals = np.column_stack([-along[:, 1], along[:, 0]])
        u, v, x, y, xu, xv, yu, yv = (self.sums[lasts] - self.sums[firsts]).T
        c, s = along.T
        total = c * u + s * v
        # With as much of the area inside the ring on one side of the line as on the other.
        fitted = c * c * yu + c * s * (yv - xu) - s * s * xv
        level = np.abs(total) < 0.5
        offsets = np.where(
            level, (c * y - s * x) / (lasts - firsts), fitted / np.where(level, 1.0, total)
        )
        bend = self.middles[firsts]
        corners = _corners(normals, offsets, bend)
        sides = following(corners) - corners
        # Corners that were rounded off are square again: what they add is taken from all sides.
        shift = (self.area - area_of(corners)) / max(float(np.hypot(*sides.T).sum()), 1.0)
        if abs(shift) > 1e-3:
            # Inside is to the left of a ring, so that outside is along (y, -x).
            outward = np.sign(normals[:, 0] * sides[:, 1] - normals[:, 1] * sides[:, 0])
            corners = _corners(normals, offsets + shift * outward, bend)
        return Straight(firsts, lasts, rounded(corners))

    def _pieces(
        self, at: NDArray[np.intp], close: NDArray[np.bool_], direction: float | None
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
        """First unit edge, the one after the last, and the angle of each line."""
        length = len(self.middles)
        lasts = np.append(at[1:], at[0] + length)
        edges = self.middles[lasts % length] - self.middles[at]
        sizes, angles = np.hypot(*edges.T), np.arctan2(edges[:, 1], edges[:, 0])
        quarter = np.zeros(len(at))
        square = np.zeros(len(at), np.bool_)
        if direction is not None:
            turn = (angles - direction) / (np.pi / 2)
            quarter = np.round(turn)
            square = (np.abs(turn - quarter) * (np.pi / 2) <= SQUARE) & ~close
        kinds = np.where(square, quarter % 2, -1).astype(np.intp)
        found: list[list[int]] = []  # first, last, quarter turn or -1
        short = (sizes < SHORT) & ~close
        for first, last, kind, drop in zip(
            at.tolist(), lasts.tolist(), kinds.tolist(), short.tolist(), strict=True
        ):
            if found and (drop or (kind >= 0 and kind == found[-1][2])):
                found[-1][1] = last
            else:
                found.append([first, last, kind])
        while len(found) > 2 and found[0][2] >= 0 and found[0][2] == found[-1][2]:
            found[-1][1] = found[0][1] + length
            found.pop(0)
        firsts, lasts, kinds = np.array(found, np.intp).T
        chords = self.middles[lasts % length] - self.middles[firsts]
        own = np.arctan2(chords[:, 1], chords[:, 0])
        return firsts, lasts, np.where(kinds < 0, own, (direction or 0.0) + kinds * (np.pi / 2))


def _far(points: NDArray[np.int32], found: Straight, tolerance: float) -> NDArray[np.bool_]:
    """Which lines lie farther from their part of the ring, or it from them: bool [K]."""
    length, sizes = len(points), found.lasts - found.firsts
    which = np.repeat(np.arange(len(sizes)), sizes)
    unit = np.arange(found.firsts[0] + 1, found.firsts[0] + 1 + len(which))
    x, y = points[unit % length].T  # without the first, which the line before it has
    u, v = (following(found.corners) - found.corners).T
    square = np.maximum(u * u + v * v, 1e-12)
    x, y = x - found.corners[which, 0], y - found.corners[which, 1]
    u, v = u[which], v[which]
    share = np.clip((x * u + y * v) / square[which], 0, 1)
    x, y = x - share * u, y - share * v
    away = x * x + y * y > tolerance**2
    far = np.bincount(which[away], minlength=len(sizes)) > 0
    # The corners: between them a line is as near to the ring as the ring is to it.
    around = points[(found.firsts[:, np.newaxis] + _AROUND) % length]
    x, y = (around - found.corners[:, np.newaxis]).transpose(2, 0, 1)
    apart = (x * x + y * y).min(axis=1) > tolerance**2
    return np.asarray(far | apart | following(apart))


_AROUND = np.arange(-AROUND, AROUND + 1)


def _corners(normals: NDArray[np.float64], offsets: NDArray[np.float64], bend: Points) -> Points:
    """Where each line meets the one before it; bend: [K,2], about where that is."""
    before = np.concatenate([normals[-1:], normals[:-1]])
    before_at = np.concatenate([offsets[-1:], offsets[:-1]])
    (a, b), (c, d) = before.T, normals.T
    cross = a * d - b * c
    steep = np.abs(cross) >= STEEP
    safe = np.where(steep, cross, 1.0)
    x, y = (before_at * d - offsets * b) / safe, (offsets * a - before_at * c) / safe
    if steep.all():
        return np.column_stack([x, y])
    p, q = bend.T
    apart, apart_before = (p * c + q * d - offsets) / 2, (p * a + q * b - before_at) / 2
    between_x, between_y = p - apart * c - apart_before * a, q - apart * d - apart_before * b
    return np.column_stack([np.where(steep, x, between_x), np.where(steep, y, between_y)])


def area_of(ring: Points) -> float:
    x, y = ring.T
    return float(x @ following(y) - y @ following(x)) / 2

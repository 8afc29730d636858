"""A smooth field of shifts over a scene, through measured ones of which some are wrong.

The way of particle image velocimetry, which has the same task: what disagrees with its neighbours
is left out (the normalised median test, Westerweel and Scarano 2005), and a field as smooth as the
measurements allow is laid through the rest, in which what lies far from it loses its weight
(after Garcia 2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""[N,2], down and across."""

STEPS = 32
"""Of a pixel, by which a shift is told: those of OpenCV's `remap`."""

NEIGHBOURS = 12
NEAR_PX = 0.75
"""Pixels that a shift may differ from its neighbours', where these agree wholly."""
APART = 3.0
"""Times what its neighbours differ among themselves, and it is left out."""
ALONE = 6
"""Measurements: fewer have one shift for all."""
STIFF = (1000.0, 100.0, 10.0, 1.0, 0.1, 0.02)
"""Of the second differences of the field, against a measurement. The one is taken that best
foretells measurements which were left out: good ones allow a field that bends."""
FOLDS = 4
BETTER = 0.97
"""Of the error, that a less stiff field has at most, or it is not taken."""
PULL = 0.001
"""Towards the affine field, where nothing was measured."""
SPREAD, COVERED = 4, 0.7
"""Parts of the scene, squared, and of how many measurements tell a slope: where they lie close
together, it would go on beyond them to where nothing is known."""
TURNS = 4
"""Of the weights."""


@dataclass(frozen=True, eq=False)
class Field:
    """Pixels that the second image lies beside the first, down and across.

    height, width: of the scene. nodes: float32 [R,C,2], evenly from its first pixel to its last.
    Between them it is of third degree (Catmull-Rom).
    """

    height: int
    width: int
    nodes: NDArray[np.float32]

    @classmethod
    def zero(cls, height: int, width: int) -> Field:
        return cls(height, width, np.zeros((2, 2, 2), np.float32))

    def at(self, points: Points) -> Points:
        """[N,2] -> [N,2]."""
        rows, columns = (self._along(axis, points[:, axis]) for axis in (0, 1))
        padded = self._padded
        found = np.zeros((len(points), 2))
        for i in range(4):
            for j in range(4):
                share = rows[1][i] * columns[1][j]
                found += share[:, None] * padded[rows[0] + i, columns[0] + j]
        return found

    def window(
        self, top: int, left: int, height: int, width: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Down and across, in `STEPS` of a pixel, [height,width] each.

        A pixel's shift does not depend on the window: each is computed by itself, and in steps.
        """
        rows = self._along(0, np.arange(top, top + height, dtype=np.float64))
        columns = self._along(1, np.arange(left, left + width, dtype=np.float64))
        padded = self._padded
        part = padded[rows[0][0] : rows[0][-1] + 4]
        first = rows[0] - rows[0][0]
        found = []
        for axis in (0, 1):
            lines = sum(
                columns[1][j].astype(np.float32) * part[:, columns[0] + j, axis] for j in range(4)
            )
            assert isinstance(lines, np.ndarray)
            shift = np.zeros((height, width), np.float32)
            for i in range(4):
                shift += rows[1][i].astype(np.float32)[:, None] * lines[first + i]
            shift *= STEPS
            found.append(np.rint(shift).astype(np.int32))
        return found[0], found[1]

    def most(self) -> tuple[int, int]:
        """Pixels that it moves anything by at most, down and across; a bound."""
        largest = np.abs(self.nodes).max(axis=(0, 1))
        # Catmull-Rom goes beyond its nodes by a quarter in each direction, at most.
        down, across = (int(np.ceil(1.6 * each)) + 1 for each in largest.tolist())
        return down, across

    @cached_property
    def _padded(self) -> NDArray[np.float32]:
        """The nodes with one more all round, that go on straight."""
        nodes = self.nodes
        for axis in (0, 1):
            nodes = np.moveaxis(nodes, axis, 0)
            nodes = np.concatenate([[2 * nodes[0] - nodes[1]], nodes, [2 * nodes[-1] - nodes[-2]]])
            nodes = np.moveaxis(nodes, 0, axis)
        return nodes

    def _along(self, axis: int, places: NDArray[np.float64]) -> tuple[NDArray[np.int64], Points]:
        """The first of four nodes (of those that are padded), and their shares [4,N]."""
        spaces = self.nodes.shape[axis] - 1
        length = max(1, (self.height, self.width)[axis] - 1)
        place = places * (spaces / length)
        first = np.clip(np.floor(place).astype(np.int64), 0, spaces - 1)
        t = place - first
        shares = np.stack([
            ((-t + 2) * t - 1) * t / 2,
            (3 * t - 5) * t * t / 2 + 1,
            ((-3 * t + 4) * t + 1) * t / 2,
            (t - 1) * t * t / 2,
        ])  # fmt: skip
        return first, shares


def agreeing(points: Points, shifts: Points) -> NDArray[np.bool_]:
    """Which shifts [N,2] are like those of their neighbours."""
    count = len(points)
    if count < 3:
        return np.zeros(count, bool)
    apart = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    nearest = np.argsort(apart, axis=1, kind="stable")[:, : min(NEIGHBOURS, count - 1)]
    around = shifts[nearest]
    middle = np.median(around, axis=1)
    differ = np.median(np.hypot(*np.moveaxis(around - middle[:, None], 2, 0)), axis=1)
    off = np.hypot(*(shifts - middle).T)
    return np.asarray(off <= np.maximum(NEAR_PX, APART * differ.clip(max=4 * NEAR_PX)))


def fitted(
    height: int, width: int, shape: tuple[int, int], points: Points, shifts: Points
) -> tuple[Field, NDArray[np.bool_]]:
    """The field of `shape` nodes through shifts [N,2] at points [N,2], N at least 1, and which
    of them it follows."""
    if len(points) < ALONE:
        one = np.median(shifts, axis=0)
        field = Field(height, width, np.tile(one.astype(np.float32), (2, 2, 1)))
        return field, np.hypot(*(shifts - one).T) <= 2 * NEAR_PX
    size = np.array([max(1, height - 1), max(1, width - 1)], np.float64)
    places = points / size
    affine = _affine(places, shifts)
    grid = np.stack(np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij"), -1)
    straight = _of_affine(affine, grid.reshape(-1, 2))
    here = _shares(places, shape)
    left = shifts - _of_affine(affine, places)
    bending, stiff = _bending(shape), STIFF[0]
    least = np.inf
    for each in STIFF:
        error = _foretold(here, left, bending * each, _folds(places, shape))
        if error < BETTER * least:
            stiff, least = each, error
    bent, weights = _bent(here, left, bending * stiff)
    nodes = (straight + bent).reshape(*shape, 2)
    rounded = np.round(nodes * 1024) / 1024
    return Field(height, width, rounded.astype(np.float32)), weights > 0


def _bent(
    here: Points, left: Points, stiff: Points, turns: int = TURNS
) -> tuple[Points, NDArray[np.float64]]:
    """Nodes [R*C,2], and the weights of the measurements."""
    weights = np.ones(len(left))
    bent = np.zeros((here.shape[1], 2))
    pull = PULL * np.eye(len(stiff))
    for _ in range(turns):
        system = here.T @ (weights[:, None] * here) + stiff + pull
        bent = np.linalg.solve(system, here.T @ (weights[:, None] * left))
        weights = _bisquare(np.hypot(*(left - here @ bent).T))
    return bent, weights


def _foretold(here: Points, left: Points, stiff: Points, folds: NDArray[np.int64]) -> float:
    """Pixels that measurements lie from a field without them, up to `APART` each; the mean."""
    errors = []
    for fold in range(FOLDS):
        out = folds == fold
        if out.any() and not out.all():
            bent, _ = _bent(here[~out], left[~out], stiff, TURNS // 2)
            errors.append(np.hypot(*(left[out] - here[out] @ bent).T).clip(max=APART))
    return float(np.concatenate(errors).mean()) if errors else np.inf


def _folds(places: Points, shape: tuple[int, int]) -> NDArray[np.int64]:
    """By place, two nodes across: blocks that lie half on each other err together."""
    cells = (places * (np.array(shape) - 1) / 2).astype(np.int64)
    return np.asarray((cells[:, 0] + 2 * cells[:, 1]) % FOLDS)


def _affine(places: Points, shifts: Points) -> Points:
    """[3,2], by least squares in which what lies far off loses its weight."""
    known = np.column_stack([np.ones(len(places)), places])
    cells = np.unique((places * SPREAD).astype(np.int64).clip(max=SPREAD - 1), axis=0)
    slope = 1e-6 if len(cells) >= COVERED * SPREAD**2 else 1e6
    found = np.zeros((3, 2))
    found[0] = np.median(shifts, axis=0)
    for _ in range(2 * TURNS):
        off = np.hypot(*(shifts - known @ found).T)
        weights = _bisquare(off)
        pull = np.diag([0.0, slope, slope])
        weighted = known * weights[:, None]
        found = np.linalg.lstsq(weighted.T @ known + pull, weighted.T @ shifts, rcond=None)[0]
    return np.asarray(found)


def _of_affine(affine: Points, places: Points) -> Points:
    return np.asarray(np.column_stack([np.ones(len(places)), places]) @ affine)


def _bisquare(off: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 on the field, 0 far from it; how far that is, is told by half of them."""
    limit = 4.685 * max(1.4826 * float(np.median(off)), NEAR_PX / 4.685)
    return np.asarray(np.clip(1 - (off / limit) ** 2, 0, None) ** 2)


def _shares(places: Points, shape: tuple[int, int]) -> Points:
    """[N,R*C], bilinear: what each node has of a place from 0 to 1."""
    found = np.zeros((len(places), *shape))
    scaled = places * (np.array(shape) - 1)
    first = np.clip(np.floor(scaled).astype(int), 0, np.array(shape) - 2)
    share = scaled - first
    which = np.arange(len(places))
    for i in (0, 1):
        for j in (0, 1):
            part = abs(1 - i - share[:, 0]) * abs(1 - j - share[:, 1])
            found[which, first[:, 0] + i, first[:, 1] + j] = part
    return found.reshape(len(places), -1)


def _bending(shape: tuple[int, int]) -> Points:
    """[R*C,R*C]: the squares of the second differences of a field."""
    one, other = (np.eye(n) for n in shape)
    bend = [np.diff(each, 2, axis=0) if len(each) > 2 else each[:0] for each in (one, other)]
    slope = [np.diff(each, axis=0) for each in (one, other)]
    down = np.kron(bend[0].T @ bend[0], other)
    across = np.kron(one, bend[1].T @ bend[1])
    both = np.kron(slope[0].T @ slope[0], slope[1].T @ slope[1])
    return np.asarray(down + across + 2 * both)

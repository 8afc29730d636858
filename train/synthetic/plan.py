"""What stands where on a tile, and what the disaster does to it. Nothing is painted here.

Cheap on purpose: a thousand plans take seconds, so that class shares can be
measured without rendering. Coordinates are tile xy in px, pixel centres at
integers.
"""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass

import cv2
import numpy as np
from shapely.geometry import MultiPolygon, Polygon, box

from runtime.damage import IGNORE
from train.synthetic import events, noise
from train.synthetic.building import Building, Look, draw_look, draw_shape
from train.synthetic.events import GRID, Event
from train.synthetic.footprints import Shape, rectangle
from train.synthetic.streets import Street, lay_streets

MARGIN = 16
"""Painted px around the tile, from which the post picture's drift takes its border."""

SETTLEMENTS = ("grid", "curved", "industrial", "rural", "empty")
SETTLEMENT_SHARES = (0.37, 0.29, 0.13, 0.11, 0.10)
HAMLET, HAMLET_SIZE, HAMLET_GROUND = "hamlet", 8, 512
"""A settlement that is never drawn, only asked for: on each square of so many px a side at most so
many buildings of a rural one, neighbours, and nothing beside them."""
UNCLASSIFIED_SHARE = 0.015
SMALLEST = 24.0
"""Area in px of the smallest labelled footprint."""
KEPT = 72
"""px around the tile on the map of occupied ground."""


@dataclass(frozen=True)
class Plot:
    """A rectangle on the ground that is not a building: parking, slab, ruin or pool."""

    kind: str
    building: Building


@dataclass(frozen=True)
class Plan:
    size: int
    settlement: str
    streets: list[Street]
    buildings: list[Building]
    outlines: list[np.ndarray]
    """Labelled polygon of each building, clipped to the tile: float [K, 2], open ring."""
    damage: np.ndarray
    """Class of each building, IGNORE where un-classified: int [N]."""
    plots: list[Plot]
    event: Event
    relief: np.ndarray
    """Height of the ground: float32 at 1/GRID resolution over the tile and MARGIN, unit std."""
    water: float
    """Ground lower than this is under water in both pictures."""
    trees: np.ndarray
    """float [T, 3]: x, y and radius of the crown."""


def stream(seed: int, index: int, size: int, name: str) -> np.random.Generator:
    """Independent randomness per purpose, so that a change in one leaves the others."""
    purpose = ("plan", "ground", "pre", "post", "place").index(name)
    return np.random.default_rng([seed, index, size, purpose])


def plan_tile(seed: int, index: int, size: int, settlement: str | None = None) -> Plan:
    """settlement: of `SETTLEMENTS`, or `HAMLET`; None: drawn."""
    rng = stream(seed, index, size, "plan")
    drawn = str(rng.choice(SETTLEMENTS, p=SETTLEMENT_SHARES))
    settlement = settlement or drawn
    sparse = settlement == HAMLET
    settlement = "rural" if sparse else settlement
    kind = str(rng.choice(events.KINDS, p=events.KIND_SHARES))
    side = -(-(size + 2 * MARGIN) // GRID)
    relief = noise.fractal(rng, (side, side), 36, 4, 0.35)
    wet = rng.random() < (0.6 if kind == "flood" else 0.2)
    water = float(np.quantile(relief, rng.uniform(0.04, 0.14))) if wet else -math.inf
    empty = settlement == "empty"
    streets = [] if empty and rng.random() < 0.5 else lay_streets(rng, settlement, size)
    land = _Land(size, streets, relief, water)
    built = [] if empty else _line_streets(rng, land, streets, settlement)
    built = _hamlets(rng, built, size) if sparse else built
    plots = _scatter_plots(rng, land, streets, built, settlement)
    event = events.strike(rng, kind, relief, MARGIN)
    visible = [(b, o) for b in built if (o := _outline(b, size)) is not None]
    centres = np.array([b.centre for b, _ in visible]).reshape(-1, 2)
    damage = events.outcomes(rng, event, centres)
    damage[rng.random(len(damage)) < UNCLASSIFIED_SHARE] = IGNORE
    trees = _plant(rng, land, settlement)
    buildings, outlines = [b for b, _ in visible], [o for _, o in visible]
    return Plan(
        size, settlement, streets, buildings, outlines, damage, plots, event, relief, water, trees
    )


class _Land:
    """Which ground is taken: uint8 map with a border of KEPT px."""

    def __init__(self, size: int, streets: list[Street], relief: np.ndarray, water: float) -> None:
        self.size = size
        self.taken = np.zeros((size + 2 * KEPT,) * 2, np.uint8)
        lakes = cv2.resize(relief, None, fx=GRID, fy=GRID) < water
        edge = KEPT - MARGIN
        self.taken[edge : edge + lakes.shape[0], edge : edge + lakes.shape[1]][
            : size + 2 * MARGIN, : size + 2 * MARGIN
        ] = lakes[: size + 2 * MARGIN, : size + 2 * MARGIN]
        self.taken = cv2.dilate(self.taken, np.ones((9, 9), np.uint8))
        for street in streets:
            line = np.rint(street.points + KEPT).astype(np.int32)
            cv2.polylines(self.taken, [line], False, 1, round(street.width) + 3)

    def claim(self, building: Building, clearance: float) -> bool:
        """Take the ground of a building if it and its surroundings are free and in reach."""
        wanted = np.rint(building.box(clearance) + KEPT).astype(np.int32)
        low, high = wanted.min(0), wanted.max(0) + 1
        if (low < 0).any() or (high > self.taken.shape[0]).any():
            return False
        window = self.taken[low[1] : high[1], low[0] : high[0]]
        mask = np.zeros(window.shape, np.uint8)
        cv2.fillConvexPoly(mask, wanted - low, 1)
        if (window & mask).any():
            return False
        window |= mask
        return True

    def free(self, xy: np.ndarray) -> np.ndarray:
        index = np.rint(xy + KEPT).astype(int)
        return self.taken[index[:, 1], index[:, 0]] == 0


def _line_streets(
    rng: np.random.Generator, land: _Land, streets: list[Street], settlement: str
) -> list[Building]:
    """Walk along both sides of every street and build on the lots that come free."""
    occupied = {"grid": 0.74, "curved": 0.9, "industrial": 0.8, "rural": 0.55}[settlement]
    occupied *= rng.uniform(0.75, 1.2)
    setback = rng.uniform(3, 9)
    built = []
    for street in streets:
        length = len(street.points) - 1
        for side in (-1.0, 1.0):
            at = rng.uniform(0, 3)
            while at < length - 1:
                name, shape = draw_shape(rng, settlement, land.size)
                step = (shape.width + rng.uniform(5, 14)) / 8.0
                middle = min(at + step / 2, length - 1e-3)
                if rng.random() < occupied:
                    away = street.width / 2 + setback + rng.uniform(0, 5) + shape.depth / 2
                    centre, angle = _beside(street, middle, side * away)
                    angle += rng.normal(0, 0.03)
                    look = draw_look(rng, name, settlement == "rural")
                    home = _stand(rng, shape, centre, angle, look)
                    if land.claim(home, 2.0):
                        built.append(home)
                at += step * (1 if rng.random() < 0.9 else 2)
    return built


def _hamlets(rng: np.random.Generator, built: list[Building], size: int) -> list[Building]:
    """Of the buildings those that stay, in their order: a few around one of each square's."""
    centres = np.array([each.centre for each in built]).reshape(-1, 2)
    squares = max(1, size // HAMLET_GROUND)
    where = np.clip(centres * squares / size, 0, squares - 1).astype(int)
    kept: set[int] = set()
    for square in np.ndindex(squares, squares):
        inside = np.flatnonzero((where == square).all(1) & _within_tile(centres, size))
        if len(inside):
            away = np.linalg.norm(centres[inside] - centres[rng.choice(inside)], axis=1)
            kept.update(inside[np.argsort(away)[: rng.integers(1, HAMLET_SIZE + 1)]].tolist())
    return [built[index] for index in sorted(kept)]


def _within_tile(centres: np.ndarray, size: int) -> np.ndarray:
    return ((centres >= 0) & (centres < size)).all(1)


def _scatter_plots(
    rng: np.random.Generator,
    land: _Land,
    streets: list[Street],
    built: list[Building],
    settlement: str,
) -> list[Plot]:
    """Things that resemble buildings, or damage, and are neither."""
    plots = []
    chances = {"parking": 1.2, "slab": 2.2, "ruin": 1.1}
    area = (land.size / 256) ** 2
    for kind, often in chances.items():
        for _ in range(rng.poisson(often * area if streets else 0.3 * area)):
            big = kind == "parking"
            low, high = (34, 62) if big else (11, 26)
            shape = rectangle(rng.uniform(low, high), rng.uniform(low * 0.8, high * 0.7))
            look = draw_look(rng, "house", settlement == "rural")
            for _attempt in range(4):
                centre, angle = rng.uniform(0, land.size, 2), rng.uniform(0, math.pi)
                if streets:
                    street = streets[rng.integers(len(streets))]
                    away = street.width / 2 + shape.depth / 2 + rng.uniform(2, 12)
                    place = rng.uniform(0, len(street.points) - 1.001)
                    centre, angle = _beside(street, place, away * rng.choice([-1, 1]))
                plot = _stand(rng, shape, centre, angle, look)
                if land.claim(plot, 1.0):
                    plots.append(Plot(kind, plot))
                    break
    for home in built:
        if rng.random() < 0.07 and max(home.shape.width, home.shape.depth) < 40:
            shape = rectangle(rng.uniform(6, 11), rng.uniform(4.5, 7))
            behind = home.shape.depth / 2 + rng.uniform(7, 11)
            centre = home.centre + behind * np.array([-math.sin(home.angle), math.cos(home.angle)])
            pool = _stand(rng, shape, centre, home.angle, home.look)
            if land.claim(pool, 1.0):
                plots.append(Plot("pool", pool))
    return plots


def _plant(rng: np.random.Generator, land: _Land, settlement: str) -> np.ndarray:
    """Crowns on a jittered lattice: dense in woods, sparse elsewhere, never on taken ground."""
    pitch = 8
    count = (land.size + 2 * MARGIN) // pitch
    lattice = np.stack(np.meshgrid(np.arange(count), np.arange(count)), -1).reshape(-1, 2)
    xy = lattice * pitch - MARGIN + rng.uniform(0, pitch, lattice.shape)
    woods = noise.fractal(rng, (count, count), 8, 3).reshape(-1)
    wooded = {"empty": 0.4, "rural": 0.9, "industrial": 1.7}.get(settlement, 1.3)
    wooded += rng.uniform(-0.3, 0.5)
    chance = np.where(woods > wooded, 0.85, rng.uniform(0.01, 0.09))
    chosen = (rng.random(len(xy)) < chance) & land.free(xy)
    radius = rng.uniform(2.2, 6.2, len(xy))
    return np.column_stack([xy, radius])[chosen]


def _beside(street: Street, at: float, away: float) -> tuple[np.ndarray, float]:
    """The point `away` px from the street at position `at` (in points), facing the street."""
    index = int(at)
    start, end = street.points[index], street.points[index + 1]
    forward = (end - start) / max(float(np.hypot(*(end - start))), 1e-9)
    normal = np.array([-forward[1], forward[0]])
    angle = math.atan2(forward[1], forward[0]) + (math.pi if away < 0 else 0.0)
    return start + (at - index) * (end - start) + away * normal, angle


def _stand(
    rng: np.random.Generator, shape: Shape, centre: np.ndarray, angle: float, look: Look
) -> Building:
    uid = str(uuid.UUID(bytes=rng.bytes(16), version=4))
    return Building(uid, shape, centre, angle, look, int(rng.integers(2**31)))


def _outline(building: Building, size: int) -> np.ndarray | None:
    """The visible part of a footprint, or None where it is too small to be labelled."""
    seen = Polygon(building.ring()).intersection(box(0, 0, size - 1, size - 1))
    if isinstance(seen, MultiPolygon):
        seen = max(seen.geoms, key=lambda part: part.area)
    if not isinstance(seen, Polygon) or seen.area < SMALLEST:
        return None
    return np.round(np.array(seen.exterior.coords)[:-1], 4)

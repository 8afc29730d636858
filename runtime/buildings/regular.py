"""The outlines that a map shows: straight where a few lines say the same, exact elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.buildings.fit import crossing, near, on_grid, sampled
from runtime.buildings.outlines import Ring
from runtime.buildings.straight import (
    Points,
    Straight,
    area_of,
    direction_of,
    following,
    straighten,
    unit_points,
)
from runtime.buildings.walls import Network, UncommonError, rings_of

TOLERANCE = 1.0
"""Pixels: no point of an outline lies farther from the exact one, or that from it."""

CLOSEST = 0.85
"""Pixels: as near lines are laid; they are compared with `TOLERANCE` at points between."""

REACH = 2
"""Pixels around a component in which another one could meet its outline: both may move."""

MOST_AREA = 0.05
"""Share of a building's area that its outline may add or take away."""

_FINE = 8
"""Parts of a pixel between the points of an outline that are looked at."""

_MARGIN = 0.35
"""Pixels, by which an outline must be nearer to its own component: those between two points that
are looked at may be nearer to the other one by so much."""

_AROUND = np.indices((2 * REACH + 1,) * 2).reshape(2, -1).T - REACH
"""Pixels, x and y, among which the nearest one is if it is nearer than `REACH`."""

MOST_UNITS = 20_000
"""Unit edges of an outline that is straightened; the work grows with the square of its corners."""


def regular(
    labels: NDArray[np.int32],
    count: int,
    rings: Sequence[Ring],
    foreign: NDArray[np.bool_],
    limits: tuple[Points, Points],
) -> list[tuple[Points, ...]]:
    """Outlines of the parts 1..count: exterior, then holes, float64 [K,2] each.

    All are valid, none lies on another one, and parts that touch share their wall, point by point.
    None lies beyond the scene.

    labels: int32 [h,w], 0 outside of the component. rings: its exact outline in them.
    foreign: bool [h+2*REACH,w+2*REACH], other buildings' pixels there and around.
    limits: the scene's first and last corner, (x, y) in the same coordinates.
    """
    units = [unit_points(ring) for ring in rings]
    if sum(map(len, units)) <= MOST_UNITS:
        others = foreign if _close(labels, foreign) else None
        direction = direction_of(units[0])
        for angle in (direction, None) if direction is not None else (None,):
            straight = [
                _straight(ring, unit, angle, limits)
                for ring, unit in zip(rings, units, strict=True)
            ]
            found = _parts(labels, count, units, straight)
            if found and _holds(labels, others, straight, found):
                return found
    if count == 1:
        return [tuple(ring.astype(np.float64) for ring in rings)]
    return [
        tuple(ring.astype(np.float64) for ring in rings_of(labels, part))
        for part in range(1, count + 1)
    ]


def _straight(
    ring: Ring, unit: NDArray[np.int32], angle: float | None, limits: tuple[Points, Points]
) -> Straight:
    """Lines that are near enough, else the ring's own edges."""
    exact = ring.astype(np.float64)
    if len(ring) > 4:
        found = straighten(unit, angle, CLOSEST)
        if found:
            inside = found.corners.clip(*limits)
            # What is moved back to the scene's border may leave what it stood for.
            if (inside == found.corners).all() or near(exact, inside, TOLERANCE):
                found = replace(found, corners=inside)
            else:
                found = None
        if (
            found
            and area_of(found.corners) * area_of(exact) > 0
            and near(found.corners, exact, TOLERANCE)
        ):
            return found
        bent = cv2.approxPolyDP(ring[:, np.newaxis], CLOSEST, True)[:, 0]
        if len(bent) > 2 and area_of(bent.astype(np.float64)) * area_of(exact) > 0:
            return _through(np.asarray(bent, np.int32), unit, exact=False)
    return _through(ring, unit, exact=True)


def _through(ring: Ring, unit: NDArray[np.int32], exact: bool) -> Straight:
    """Edges from each of some of the ring's unit points to the next."""
    at = np.flatnonzero(np.isin(_keys(unit), _keys(ring)))
    ends = np.append(at, at[0] + len(unit))
    return Straight(ends[:-1], ends[1:], unit[at].astype(np.float64), exact=exact)


def _keys(points: NDArray[np.int32] | NDArray[np.int64]) -> NDArray[np.int64]:
    return points[:, 0].astype(np.int64) << 32 | points[:, 1]


def _parts(
    labels: NDArray[np.int32],
    count: int,
    units: list[NDArray[np.int32]],
    straight: list[Straight],
) -> list[tuple[Points, ...]] | None:
    if count == 1:
        return [tuple(each.corners for each in straight)]
    network = Network(labels, units, straight, TOLERANCE)
    try:
        return [network.outline(part) for part in range(1, count + 1)]
    except UncommonError:
        return None


def _holds(
    labels: NDArray[np.int32],
    foreign: NDArray[np.bool_] | None,
    straight: list[Straight],
    found: list[tuple[Points, ...]],
) -> bool:
    """Are the outlines valid, apart from each other and from other buildings, and of the area that
    they had?"""
    areas = np.bincount(labels.ravel(), minlength=len(found) + 1)[1:]
    for area, (exterior, *holes) in zip(areas.tolist(), found, strict=True):
        if min(len(exterior), *map(len, holes), 3) < 3 or area_of(exterior) <= 0:
            return False
        if any(area_of(hole) >= 0 or not _inside(hole, exterior) for hole in holes):
            return False
        if abs(sum(map(area_of, (exterior, *holes))) - area) > MOST_AREA * area:
            return False
    edges = [
        np.stack([on_grid(ring), following(on_grid(ring))], axis=1)
        for outline in found
        for ring in outline
    ]
    every = np.concatenate(edges)
    turned = (every[:, 0, 0] > every[:, 1, 0]) | (
        (every[:, 0, 0] == every[:, 1, 0]) & (every[:, 0, 1] > every[:, 1, 1])
    )
    every[turned] = every[turned][:, ::-1]
    if len(found) > 1:
        every = np.unique(every.reshape(-1, 4), axis=0).reshape(-1, 2, 2)
    if crossing(every) or (len(found) == 1 and _touching(straight)):
        return False
    return foreign is None or _apart(labels, foreign, straight)


def _inside(hole: Points, exterior: Points) -> bool:
    x, y = hole[0].tolist()
    return cv2.pointPolygonTest(exterior.astype(np.float32), (x, y), False) >= 0


def _touching(straight: list[Straight]) -> bool:
    """Is a corner there twice, where rings could cross unseen?"""
    corners = on_grid(np.vstack([each.corners for each in straight]))
    moved = not all(each.exact for each in straight)
    return moved and len(np.unique(_keys(corners))) < len(corners)


def _close(labels: NDArray[np.int32], foreign: NDArray[np.bool_]) -> bool:
    own = np.pad((labels > 0).astype(np.uint8), REACH)
    side = 2 * REACH + 1
    return bool((cv2.dilate(own, np.ones((side, side), np.uint8)).astype(bool) & foreign).any())


def _apart(labels: NDArray[np.int32], foreign: NDArray[np.bool_], straight: list[Straight]) -> bool:
    """Is every point of the outline nearer to its own component than to others?

    As this is asked of both sides, their outlines cannot meet.
    """
    own, foreign = np.pad(labels > 0, 2 * REACH), np.pad(foreign, REACH)
    for each in straight:
        points = sampled(each.corners, 1 / _FINE) + 2 * REACH
        points = points.clip(REACH, np.array(own.shape[::-1]) - REACH - 1)
        points = points[~own[tuple(points.astype(np.intp).T[::-1])]]
        if (_to(foreign, points) - _to(own, points) < _MARGIN).any():
            return False
    return True


def _to(mask: NDArray[np.bool_], points: Points) -> NDArray[np.float64]:
    """From each point to the nearest pixel of a mask, pixels; `REACH` where none is nearer."""
    pixels = points.astype(np.intp)[:, np.newaxis] + _AROUND
    beside = np.maximum(pixels - points[:, np.newaxis], points[:, np.newaxis] - pixels - 1)
    away = np.hypot(*np.maximum(beside, 0).transpose(2, 0, 1))
    away[~mask[pixels[..., 1], pixels[..., 0]]] = REACH
    return np.asarray(away.min(axis=1).clip(max=REACH))

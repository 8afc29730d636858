"""Where a scene lies in the coordinates of a layer of polygons, and whether they can meet."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ConfigError
from runtime.source.georeference import Georeference, reproject, short
from runtime.source.globe import beside

SAMPLES = 21
"""Points a side of a scene that say where it lies: a straight edge is a curve in another CRS."""

_MOST_TURNS = 4
"""Round the world, that a place may be written away from where the scene is."""

Bounds = tuple[float, float, float, float]
"""left, bottom, right, top."""


class Layer(Protocol):
    """What is asked of a `footprint_file.FootprintFile`."""

    @property
    def path(self) -> Path: ...
    @property
    def crs(self) -> str: ...
    @property
    def count(self) -> int: ...
    @property
    def bounds(self) -> Bounds: ...
    @property
    def period(self) -> float | None: ...


def goes_round(bounds: Bounds, period: float | None) -> bool:
    """Whether a polygon within these bounds may lie on either side of where its world begins:
    written with points on both, its bounds are all that it does not cover."""
    return bool(period and bounds[2] - bounds[0] > period / 2)


def is_over(
    found: Layer,
    bounds: Bounds,
    height: int,
    width: int,
    georeference: Georeference,
) -> bool:
    """Whether `bounds`, in the layer's CRS, hold a part of the scene."""
    left, bottom, right, top = bounds
    scene = _scene_in(found, height, width, georeference)
    if not len(scene):
        return False
    x, y = scene.T
    if found.period:
        middle = x.mean()
        x = x + (beside(middle, (left + right) / 2, found.period) - middle)
    if y.max() <= bottom or y.min() >= top:
        return False
    if goes_round(bounds, found.period):
        return True
    turns = (0.0,) if not found.period else (-found.period, 0.0, found.period)
    return any(x.max() + each > left and x.min() + each < right for each in turns)


def bounds_of(found: Layer, height: int, width: int, georeference: Georeference) -> Bounds | None:
    """The scene's in the layer's CRS, and what may lie between the points that tell them.

    None where they cannot tell: a part of the scene has no place in that CRS, or a pole is in it.
    """
    scene = _scene_in(found, height, width, georeference)
    if len(scene) < SAMPLES**2:
        return None
    begin, end = scene.min(axis=0), scene.max(axis=0)
    margin = (end - begin) / (SAMPLES - 1)
    (left, bottom), (right, top) = (begin - margin).tolist(), (end + margin).tolist()
    if not found.period:
        return left, bottom, right, top
    if right - left > found.period / 2:
        return None
    # As many times round the world as the file may have written the place.
    first = int(np.floor((found.bounds[0] - right) / found.period))
    last = int(np.ceil((found.bounds[2] - left) / found.period))
    turns = [
        each * found.period
        for each in range(max(first, -_MOST_TURNS), min(last, _MOST_TURNS) + 1)
        if left + each * found.period <= found.bounds[2]
        and right + each * found.period >= found.bounds[0]
    ]
    return (left + turns[0], bottom, right + turns[-1], top) if turns else None


def _scene_in(
    found: Layer, height: int, width: int, georeference: Georeference
) -> NDArray[np.float64]:
    """[N,2] points all over the scene, in the layer's CRS, on one side of the globe."""
    x, y = np.meshgrid(np.linspace(0, width, SAMPLES), np.linspace(0, height, SAMPLES))
    here = georeference.to_map(np.column_stack([x.ravel(), y.ravel()]))
    points = reproject(here, georeference.crs_wkt, found.crs)
    points = points[np.isfinite(points).all(axis=1)]
    if found.period and len(points):
        points = np.column_stack([beside(points[:, 0], points[0, 0], found.period), points[:, 1]])
    return points


def elsewhere(found: Layer, height: int, width: int, georeference: Georeference) -> ConfigError:
    theirs = found.bounds
    begin = (
        f"{found.path}: none of its {found.count} polygons lies on the scene: they reach from "
        f"{theirs[0]:.6g}, {theirs[1]:.6g} to {theirs[2]:.6g}, {theirs[3]:.6g}"
    )
    scene = _scene_in(found, height, width, georeference)
    if not len(scene):
        return ConfigError(
            f"{begin}, the scene lies outside of their CRS {short(found.crs)}; expected polygons "
            "of this place, in the CRS that their file names"
        )
    (left, bottom), (right, top) = scene.min(axis=0), scene.max(axis=0)
    swapped = (theirs[1], theirs[0], theirs[3], theirs[2])
    advice = "expected polygons of this place, in the CRS that their file names"
    if is_over(found, swapped, height, width, georeference):
        advice = (
            "their x and y look swapped, x or longitude is expected first; write the file again "
            'with them the other way round (in QGIS: "Swap X and Y coordinates")'
        )
    return ConfigError(
        f"{begin}, the scene from {left:.6g}, {bottom:.6g} to {right:.6g}, {top:.6g} in their CRS; "
        f"{advice}"
    )

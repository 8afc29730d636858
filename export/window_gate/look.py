"""A gate on labelled tiles: windows as the runtime cuts and decides them, buildings as labelled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from export.window_gate.misses import Seen
from runtime.scene.gate import peak
from runtime.scene.windows import Window, mirrored, window_rows
from train.inference import Runner
from train.label import Footprint, read_label
from train.xbd import Tile, rasterise


def look(run: Runner, tiles: Iterable[Tile], size: tuple[int, int], halo: int, margin: int) -> Seen:
    """Run the gate on every window of the tiles, each tile a scene of its own.

    Args:
        run: the gate; its second map is the building probability x 255.
        size: height and width of the engine's windows.
        halo, margin: pixels, as the runtime takes them.
    Raises:
        DataError: a tile that cannot be read.
    """
    peaks: list[int] = []
    pixels: list[int] = []
    levels: list[int] = []
    alone: list[int] = []
    company: list[int] = []
    for tile in tiles:
        images = tile.images()
        shape = images[0].shape[:2]
        building, _ = tile.targets(*shape)
        polygons = outlines(tile, shape)
        windows = [each for row in window_rows(shape, size, halo) for each in row]
        answers = [run(*(cut(image, each, size) for image in images))[1] for each in windows]
        whole = np.zeros(shape, np.uint8)
        for window, answer in zip(windows, answers, strict=True):
            whole[window.place] = answer[window.kept]
        here = [peak(answer, each, margin) for each, answer in zip(windows, answers, strict=True)]
        peaks += here
        pixels += [int(building[each.place].sum()) for each in windows]
        shown = areas_of(polygons, windows)
        levels += levels_of(shown, here)
        company += company_of(shown)
        inside = shapely.box(1, 1, shape[1] - 1, shape[0] - 1)
        alone += [highest_on(each, whole) for each in polygons if inside.contains(each)]
    return Seen(*map(np.array, (peaks, pixels, levels, alone, company)))


def outlines(tile: Tile, shape: tuple[int, int]) -> np.ndarray:
    """The buildings of the label before the disaster, polygons in pixels that have an area in the
    image."""
    found = read_label(tile.labels[0], damage=False, size=shape)
    valid = shapely.make_valid(np.array([each.polygon for each in found], dtype=object))
    inside = shapely.intersection(valid, shapely.box(0, 0, shape[1], shape[0]))
    return inside[shapely.area(inside) > 0]


def cut(image: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
    """The window's pixels, of `size`."""
    top, left = window.row.start, window.column.start
    part = image[top : top + size[0], left : left + size[1]]
    return np.ascontiguousarray(mirrored(part, size))


def areas_of(polygons: np.ndarray, windows: Sequence[Window]) -> np.ndarray:
    """What the kept part of each window shows of each polygon, square pixels: float [polygons,
    windows]."""
    boxes = np.array(
        [
            shapely.box(each.column.begin, each.row.begin, each.column.end, each.row.end)
            for each in windows
        ]
    )
    areas = np.zeros((len(polygons), len(windows)))
    which, where = shapely.STRtree(boxes).query(polygons)
    areas[which, where] = shapely.area(shapely.intersection(polygons[which], boxes[where]))
    return areas


def levels_of(areas: np.ndarray, peaks: Sequence[int]) -> list[int]:
    """`Seen.levels` of polygons by their `areas_of`, and the peaks of the windows."""
    if not len(areas):
        return []
    order = np.argsort(peaks, kind="stable")
    share = areas[:, order].cumsum(1) / areas.sum(1, keepdims=True)
    return [int(each) for each in np.asarray(peaks)[order][(share > 0.5).argmax(1)]]


def company_of(areas: np.ndarray) -> list[int]:
    """`Seen.company` of polygons by their `areas_of`."""
    shows = areas > 0
    return [int(each) for each in (shows * shows.sum(0)).max(1)] if len(areas) else []


def highest_on(polygon: BaseGeometry, found: np.ndarray) -> int:
    """The highest of `found` [H, W] on the pixels of the polygon, its outline included."""
    left, top, right, bottom = (int(each) for each in polygon.bounds)
    part = found[top : bottom + 1, left : right + 1]
    shifted = Footprint("", shapely.transform(polygon, lambda p: p - (left, top)), None)
    areas = [each for each in shapely.get_parts(shifted.polygon) if each.geom_type == "Polygon"]
    shown = replace(shifted, polygon=shapely.MultiPolygon(areas))
    mask = rasterise([shown], *part.shape, lambda _: 1)
    return int(part.max(where=mask > 0, initial=0))

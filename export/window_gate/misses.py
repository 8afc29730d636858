"""What a gate misses: windows of labelled tiles, decided as the runtime decides them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from scipy.stats import beta

from runtime.scene.gate import peak
from runtime.scene.windows import Span, Window, window_rows
from train.inference import Runner
from train.label import read_label
from train.xbd import Tile


@dataclass(frozen=True, eq=False)
class Seen:
    """Windows and buildings of some tiles.

    peaks: int [windows], of `runtime.scene.gate.peak`.
    pixels: int [windows], building pixels in the part that is kept.
    levels: int [buildings]; where the threshold is above its level, more than half of a building
        lies in windows that are skipped: it is missed.
    """

    peaks: np.ndarray
    pixels: np.ndarray
    levels: np.ndarray

    def missed(self, threshold: int) -> float:
        """Share of the buildings."""
        return float((self.levels < threshold).mean())

    def as_dict(self, threshold: int) -> dict[str, Any]:
        """At that threshold; JSON values."""
        skipped, empty = self.peaks < threshold, self.pixels == 0
        missed, count = int((self.levels < threshold).sum()), len(self.levels)
        return {
            "buildings": count,
            "buildings_missed": missed,
            "missed_at_most": round(upper_bound(missed, count), 6),
            "building_pixels": int(self.pixels.sum()),
            "building_pixels_missed": int(self.pixels[skipped].sum()),
            "windows": len(self.peaks),
            "windows_without_building": int(empty.sum()),
            "of_those_skipped": int((skipped & empty).sum()),
        }


def look(run: Runner, tiles: Iterable[Tile], size: tuple[int, int], halo: int, margin: int) -> Seen:
    """Run the gate on every window of the tiles, each tile a scene of its own.

    Args:
        run: the gate; its second map is the building probability x 255.
        size: height and width of the engine's windows.
    Raises:
        DataError: a tile that cannot be read.
    """
    peaks: list[int] = []
    pixels: list[int] = []
    levels: list[int] = []
    for tile in tiles:
        pre, post = tile.images()
        shape = pre.shape[:2]
        building, _ = tile.targets(*shape)
        polygons = outlines(tile, shape)
        windows = [each for row in window_rows(shape, size, halo) for each in row]
        here = [peak(run(*(cut(x, each, size) for x in (pre, post)))[1], each, margin)
                for each in windows]  # fmt: skip
        peaks += here
        pixels += [int(building[kept(each.row), kept(each.column)].sum()) for each in windows]
        levels += levels_of(polygons, windows, here)
    return Seen(np.array(peaks), np.array(pixels), np.array(levels))


def cut(image: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
    """The window's pixels; what a small tile lacks is mirrored, as the runtime does."""
    top, left = window.row.start, window.column.start
    part = image[top : top + size[0], left : left + size[1]]
    border = [(0, side - have) for side, have in zip(size, part.shape, strict=False)]
    return np.ascontiguousarray(np.pad(part, (*border, (0, 0)), mode="symmetric"))


def kept(span: Span) -> slice:
    """Of the tile's pixels."""
    return slice(span.begin, span.end)


def outlines(tile: Tile, shape: tuple[int, int]) -> np.ndarray:
    """The buildings of the label before the disaster, polygons in pixels that have an area in the
    image."""
    found = read_label(tile.labels[0], damage=False, size=shape)
    valid = shapely.make_valid(np.array([each.polygon for each in found], dtype=object))
    inside = shapely.intersection(valid, shapely.box(0, 0, shape[1], shape[0]))
    return inside[shapely.area(inside) > 0]


def levels_of(polygons: np.ndarray, windows: Sequence[Window], peaks: Sequence[int]) -> list[int]:
    """`Seen.levels` of polygons, by the peaks of the windows."""
    if not len(polygons):
        return []
    boxes = np.array(
        [
            shapely.box(each.column.begin, each.row.begin, each.column.end, each.row.end)
            for each in windows
        ]
    )
    areas = np.zeros((len(polygons), len(windows)))
    tree = shapely.STRtree(boxes)
    which, where = tree.query(polygons)
    areas[which, where] = shapely.area(shapely.intersection(polygons[which], boxes[where]))
    order = np.argsort(peaks, kind="stable")
    share = areas[:, order].cumsum(1) / areas.sum(1, keepdims=True)
    return [int(each) for each in np.asarray(peaks)[order][(share > 0.5).argmax(1)]]


def highest_threshold(seen: Seen, budget: float) -> int:
    """The highest threshold, 0 to 255, at which at most `budget` of the buildings are missed."""
    allowed = int(budget * len(seen.levels))
    return int(np.sort(seen.levels)[allowed]) if allowed < len(seen.levels) else 255


def upper_bound(missed: int, of: int) -> float:
    """The share that is not exceeded with a confidence of 95 %, where `missed` of `of` were: the
    upper end of the one-sided interval of Clopper and Pearson (1934)."""
    return 1.0 if missed >= of else float(beta.ppf(0.95, missed + 1, of - missed))

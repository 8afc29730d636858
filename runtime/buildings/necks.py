"""Buildings that touch, told apart: one component's pixels, cut at its narrow necks.

The distance of each pixel from the outside has a hill for each building. Where two hills meet, the
neck between them is as wide as twice the distance there. It parts two buildings if it is narrow
beside the smaller of them. An L or a T, whose arms are as wide as each other, has no neck.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

RATIO = 0.5
"""Widest neck that parts two buildings, in widths of the narrower of them."""

NARROWER = 0.9
"""Pixels, at least, from the width of half a neck to half the width of a building: less is how
pixels round."""

SMALLEST = 2.4
"""Half the width, in pixels, of the smallest building that is told from its neighbour."""

STEP = 0.5
"""Pixels, from one level of distances to the next."""

MOST_PIXELS = 1 << 22
"""In the box around a component. About 40 bytes each are held; a larger one stays whole."""


@dataclass(eq=False)
class _Hill:
    """Buildings around a pixel: those at `tops`, as high as `height` at most."""

    tops: list[tuple[int, int]]
    height: float


def separate(mask: NDArray[np.uint8], min_area: int = 1) -> tuple[NDArray[np.int32], int]:
    """Number from 1 of the building of each pixel, int32 [h,w], 0 outside; and how many there are.

    Every pixel of the component is in one building, and each is 4-connected.
    mask: uint8 [h,w], 1 in one 4-connected component. min_area: pixels of a building, at least.
    """
    parts = np.asarray(mask, np.int32)
    if mask.size > MOST_PIXELS or np.count_nonzero(mask) < 2 * (2 * SMALLEST) ** 2:
        return parts, 1
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    if distance.max() - 0.5 < SMALLEST + NARROWER:
        return parts, 1
    distance = distance - np.float32(0.5)
    tops, levels = _tops(distance)
    if len(tops) < 2:
        return parts, 1
    return _tidy(_cut(mask, distance, tops, levels), tops, max(min_area, 1))


def _tops(distance: NDArray[np.float32]) -> tuple[list[tuple[int, int]], list[float]]:
    """A pixel of each building, and the levels at which two of them part, from below."""
    hills: list[_Hill] = []
    levels: set[float] = set()
    highest = float(distance.max())
    for level in np.arange(np.ceil(highest / STEP) - 1, -1, -1) * STEP:
        count, regions = cv2.connectedComponents((distance > level).view(np.uint8), connectivity=8)
        by_region: dict[int, list[_Hill]] = {}
        for hill in hills:
            by_region.setdefault(int(regions[hill.tops[0]]), []).append(hill)
        if count - 1 > len(by_region) and level + STEP >= SMALLEST:
            for hill in _new(distance, regions, count, set(by_region)):
                by_region[int(regions[hill.tops[0]])] = [hill]
        hills = []
        for met in by_region.values():
            met.sort(key=lambda each: -each.height)
            main = met[0]
            for other in met[1:]:
                if len(other.tops) > 1 or _parts(level + STEP / 2, other.height):
                    main.tops += other.tops
                    levels.add(float(level) + STEP)
            hills.append(main)
    return [top for hill in hills for top in hill.tops], sorted(levels)


def _parts(neck: float, height: float) -> bool:
    return height >= SMALLEST and neck <= RATIO * height and height - neck >= NARROWER


def _new(
    distance: NDArray[np.float32], regions: NDArray[np.int32], count: int, known: set[int]
) -> list[_Hill]:
    """Hills that begin at this level."""
    found = []
    where = np.flatnonzero(regions)
    label = regions.ravel()[where]
    fresh = np.ones(count, np.bool_)
    fresh[list(known)] = False
    some = fresh[label]
    where, label = where[some], label[some]
    height = distance.ravel()[where]
    order = np.lexsort((where, -height, label))
    firsts = order[np.unique(label[order], return_index=True)[1]]
    for pixel, top in zip(where[firsts].tolist(), height[firsts].tolist(), strict=True):
        found.append(_Hill([divmod(pixel, regions.shape[1])], top))
    return found


def _cut(
    mask: NDArray[np.uint8],
    distance: NDArray[np.float32],
    tops: list[tuple[int, int]],
    levels: list[float],
) -> NDArray[np.int32]:
    """Parts from 1, each pixel in that of the nearest hill's foot; narrowest necks first."""
    parts = np.asarray(mask, np.int32)
    count = 1
    for level in levels:
        _, feet = cv2.connectedComponents((distance > level).view(np.uint8), connectivity=8)
        inside: dict[int, set[int]] = {}
        for top in tops:
            if feet[top]:
                inside.setdefault(int(parts[top]), set()).add(int(feet[top]))
        for part, found in inside.items():
            if len(found) < 2:
                continue
            here = parts == part
            rows, columns = _box(here)
            box = here[rows, columns]
            numbers = np.zeros(int(feet.max()) + 1, np.int32)
            # The first keeps the part's number.
            numbers[sorted(found)] = [part, *range(count + 1, count + len(found))]
            count += len(found) - 1
            seeds = numbers[feet[rows, columns]] * box
            _, nearest = cv2.distanceTransformWithLabels(
                (seeds == 0).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5,
                labelType=cv2.DIST_LABEL_CCOMP,
            )  # fmt: skip
            of_label = np.zeros(int(nearest.max()) + 1, np.int32)
            of_label[nearest[seeds > 0]] = seeds[seeds > 0]
            parts[rows, columns][box] = of_label[nearest[box]]
    return parts


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _tidy(
    parts: NDArray[np.int32], tops: list[tuple[int, int]], min_area: int
) -> tuple[NDArray[np.int32], int]:
    """Pieces without their hill, and parts that are too small, go to the neighbour that they share
    the longest wall with; the rest is numbered from 1."""
    pieces, count = _pieces(parts)
    keep = np.zeros(count, np.bool_)
    for top in tops:
        keep[pieces[top]] = True
    areas = np.bincount(pieces.ravel(), minlength=count)
    small = [each for each in range(1, count) if not keep[each] or areas[each] < min_area]
    for each in sorted(small, key=lambda number: (int(areas[number]), number)):
        walls = _walls_of(pieces, each, count)
        if walls.any():
            into = int(walls.argmax())
            pieces[pieces == each] = into
    numbers, inverse = np.unique(pieces, return_inverse=True)
    found = inverse.reshape(pieces.shape).astype(np.int32)
    if numbers[0]:  # a component that fills its box
        return found + 1, len(numbers)
    return found, len(numbers) - 1


def _pieces(parts: NDArray[np.int32]) -> tuple[NDArray[np.int32], int]:
    """4-connected pieces of parts, from 1, and 1 + how many there are."""
    height, width = parts.shape
    # Parts apart in a grid of twice the resolution, where walls are background.
    grid = np.zeros((2 * height - 1, 2 * width - 1), np.uint8)
    grid[::2, ::2] = parts > 0
    grid[1::2, ::2] = (parts[1:] == parts[:-1]) & (parts[1:] > 0)
    grid[::2, 1::2] = (parts[:, 1:] == parts[:, :-1]) & (parts[:, 1:] > 0)
    count, labels = cv2.connectedComponents(grid, connectivity=4)
    return np.ascontiguousarray(labels[::2, ::2]), count


def _walls_of(pieces: NDArray[np.int32], each: int, count: int) -> NDArray[np.int64]:
    """Pixel edges that a piece shares with each other, int64 [count]."""
    found = np.zeros(count, np.int64)
    for one, other in (
        (pieces[1:], pieces[:-1]),
        (pieces[:-1], pieces[1:]),
        (pieces[:, 1:], pieces[:, :-1]),
        (pieces[:, :-1], pieces[:, 1:]),
    ):
        found += np.bincount(other[one == each], minlength=count)
    found[[0, each]] = 0
    return found

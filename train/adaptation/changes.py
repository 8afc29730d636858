"""What a person changed in a map: its features beside those of the map as it was written.

Features are compared by their outlines, not by their numbers: an export from a GIS may count
anew, and may be in another CRS.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely

from train.adaptation.features import Features

SAME = 0.99
"""Intersection over union of two outlines that nobody has drawn anew: coordinates that went
through another CRS and back differ in the last digits, on buildings of a few pixels too."""

RESHAPED = 0.5
"""Part of the smaller of two outlines that lies in the other, where one was drawn for the other."""


@dataclass(eq=False)
class Changes:
    """as_before: by the edited feature's index, the index in the map.

    drawn: indices of edited features that are not in the map, with what of the map's outlines
        they were drawn in place of lies outside of them: a geometry, or None.
    removed: indices in the map of what is gone, with what of it no edited feature covers.
    """

    as_before: dict[int, int] = field(default_factory=dict)
    drawn: dict[int, Any] = field(default_factory=dict)
    removed: dict[int, Any] = field(default_factory=dict)


def changes(edited: Features, original: Features) -> Changes:
    """Edited features without a geometry are in none of the three."""
    found = Changes()
    there = np.flatnonzero(~shapely.is_missing(edited.geometry))
    overlaps = _overlaps(edited.geometry, original.geometry)
    kept: set[int] = set()
    for new in there.tolist():
        same = [old for old, _ in overlaps.get(new, []) if old not in kept and _same(
            edited.geometry[new], original.geometry[old]
        )]  # fmt: skip
        if same:
            found.as_before[new] = same[0]
            kept.add(same[0])
        else:
            found.drawn[new] = None
    over: dict[int, list[int]] = {}
    for new, pairs in overlaps.items():
        for old, _ in pairs:
            over.setdefault(old, []).append(new)
    for old in range(len(original)):
        if old in kept or original.geometry[old] is None:
            continue
        covering = [edited.geometry[new] for new in over.get(old, [])]
        rest = shapely.difference(original.geometry[old], shapely.union_all(covering))
        if rest.area < 1:
            continue
        heir = _heir(old, found, overlaps, edited, original)
        if heir is None:
            found.removed[old] = rest
        else:
            before = found.drawn[heir]
            found.drawn[heir] = rest if before is None else shapely.union(before, rest)
    return found


def _overlaps(new: np.ndarray, old: np.ndarray) -> dict[int, list[tuple[int, float]]]:
    """Indices in `old` and areas of intersection, by the index in `new`."""
    first, second = shapely.STRtree(old).query(new, predicate="intersects")
    areas = shapely.area(shapely.intersection(new[first], old[second]))
    found: dict[int, list[tuple[int, float]]] = {}
    for i, j, area in zip(first.tolist(), second.tolist(), areas.tolist(), strict=True):
        if area > 0:
            found.setdefault(i, []).append((j, area))
    return found


def _same(new: Any, old: Any) -> bool:
    union = shapely.union(new, old).area
    return bool(union and shapely.intersection(new, old).area / union >= SAME)


def _heir(
    old: int,
    found: Changes,
    overlaps: dict[int, list[tuple[int, float]]],
    edited: Features,
    original: Features,
) -> int | None:
    """The drawn feature that stands for a feature of the map which is gone."""
    best, share = None, RESHAPED
    for new in found.drawn:
        area = dict(overlaps.get(new, [])).get(old, 0.0)
        smaller = min(edited.geometry[new].area, original.geometry[old].area)
        if smaller and area / smaller >= share:
            best, share = new, area / smaller
    return best

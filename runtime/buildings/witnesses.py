"""What each of several maps says of a building that was found in all of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from runtime.buildings.spans import Spans, edges_of_outlines
from runtime.buildings.tally import Grade, OpenMaps, Tally
from runtime.buildings.votes import Building

BATCH = 500
"""Buildings that are looked up at a time."""


@dataclass(frozen=True, eq=False)
class Witnesses:
    """maps: of each image or date. told: what their grades, one a map, add to a building's fields.

    A map says nothing of the pixels where its damage is NODATA.
    """

    maps: Sequence[OpenMaps]
    told: Callable[[Sequence[Grade]], Mapping[str, str | float]]

    def of(self, buildings: Iterable[Building], size: tuple[int, int]) -> Iterator[Building]:
        """The same buildings of a scene of [height,width], with these fields.

        They may come as the maps do: a building's rows are complete when it comes.
        """
        rows = iter(buildings)
        while batch := list(islice(rows, BATCH)):
            spans = _spans([each.rings for each in batch], size)
            tallies = self.tallies(len(batch))
            for tally, maps in zip(tallies, self.maps, strict=True):
                for part in spans:
                    tally.add(part, maps)
            for each, told in zip(batch, self.fields(tallies, range(len(batch))), strict=True):
                yield replace(each, told=told)

    def tallies(self, count: int) -> list[Tally]:
        return [Tally(count) for _ in self.maps]

    def fields(
        self, tallies: Sequence[Tally], which: Iterable[int]
    ) -> list[Mapping[str, str | float]]:
        """Of some of the polygons that these tallies are of."""
        grades = [each.grades() for each in tallies]
        return [self.told([each[index] for each in grades]) for index in which]


def _spans(outlines: Sequence[tuple[np.ndarray, ...]], size: tuple[int, int]) -> list[Spans]:
    """Of the pixels whose centre is in each outline; of one without, the pixel in its middle."""
    found = np.zeros(len(outlines), bool)
    spans = list(edges_of_outlines(outlines, *size).bands())
    for each in spans:
        found[each.owner] = True
    without = np.flatnonzero(~found)
    if len(without):
        middle = [np.mean(outlines[index][0], axis=0) for index in without.tolist()]
        column, row = np.array(middle).T.astype(np.int64)
        column, row = np.clip(column, 0, size[1] - 1), np.clip(row, 0, size[0] - 1)
        spans.append(Spans(without.astype(np.int64), row, column, column + 1))
    return spans

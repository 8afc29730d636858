"""Which tiles are worth reading before any is chosen: a few of each disaster, all classes.

Reading every image of a data set of thousands would take longer than calibrating does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest

from calibration.statistics import Looks, looks_of_pair
from runtime.damage import DAMAGE_CLASSES, IGNORE
from train.xbd import Tile, read_label

PER_DISASTER = 12
"""Tiles decoded for each disaster on average, evenly spread over its numbers."""


@dataclass(frozen=True)
class Candidate:
    """A tile and what is known of it. `damage`: the classes 1..4 of its buildings, if labelled."""

    tile: Tile
    damage: frozenset[int]
    pre: Looks
    post: Looks

    @property
    def stratum(self) -> tuple[str, int]:
        """Its disaster, and the worst damage there (0: none known)."""
        return self.tile.disaster, max(self.damage, default=0)


def candidates(tiles: Sequence[Tile], count: int) -> list[Candidate]:
    """At least `count` of `tiles` (or all), with one of every damage class there is.

    The images of PER_DISASTER tiles a disaster are read, and the labels of as many more
    as it takes to have seen every class: of all, where a class does not exist.

    Raises:
        ImageError, DataError: a tile, or its label, cannot be read.
    """
    turns = _in_turns(tiles)
    first = max(count, PER_DISASTER * len({tile.disaster for tile in tiles}))
    found = {tile.name: (tile, _damage(tile)) for tile in islice(turns, first)}
    unseen = set(DAMAGE_CLASSES).difference(*[damage for _, damage in found.values()])
    for tile in turns:
        if not unseen:
            break
        damage = _damage(tile)
        if damage & unseen:
            found[tile.name] = tile, damage
            unseen -= damage
    return [
        Candidate(tile, damage, *looks_of_pair(tile)) for _, (tile, damage) in sorted(found.items())
    ]


def _damage(tile: Tile) -> frozenset[int]:
    if not tile.labelled:
        return frozenset()
    _, post_label = tile.labels
    found = {building.damage for building in read_label(post_label, damage=True)}
    return frozenset(damage for damage in found if damage not in (None, IGNORE))


def _in_turns(tiles: Sequence[Tile]) -> Iterator[Tile]:
    """One of each disaster, then another of each, whatever order the tiles come in."""
    by_disaster: dict[str, list[Tile]] = {}
    for tile in sorted(tiles, key=lambda tile: tile.name):
        by_disaster.setdefault(tile.disaster, []).append(tile)
    turns = zip_longest(*[_spread(group) for _, group in sorted(by_disaster.items())])
    return (tile for tile in chain.from_iterable(turns) if tile is not None)


def _spread(group: list[Tile]) -> list[Tile]:
    """First, last, middle, then the middles between: any prefix covers the whole range."""
    order: dict[int, None] = {}
    parts = 1
    while len(order) < len(group):
        for part in range(parts + 1):
            order.setdefault(round(part * (len(group) - 1) / parts))
        parts *= 2
    return [group[index] for index in order]

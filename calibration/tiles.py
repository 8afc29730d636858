"""Which tiles are looked at: every disaster in turn, so that none decides the ranges alone."""

from __future__ import annotations

from itertools import chain, zip_longest

from runtime.errors import CalibrationError
from runtime.files import sha256
from train.xbd import Tile


def choose(tiles: list[Tile], count: int) -> list[Tile]:
    """`count` tiles (or all there are), evenly spread within each disaster, in a fixed order."""
    if count < 1:
        raise CalibrationError(f"{count} calibration tiles asked for; expected at least 1")
    by_disaster: dict[str, list[Tile]] = {}
    for tile in tiles:
        by_disaster.setdefault(tile.disaster, []).append(tile)
    turns = zip_longest(*[_spread(group) for group in by_disaster.values()])
    return [tile for tile in chain.from_iterable(turns) if tile is not None][:count]


def content_hashes(tiles: list[Tile]) -> list[dict[str, str]]:
    """What identifies each tile: its name and the sha256 of both images."""
    return [{"name": t.name, "pre": sha256(t.pre), "post": sha256(t.post)} for t in tiles]


def _spread(group: list[Tile]) -> list[Tile]:
    """First, last, middle, then the middles between: any prefix covers the whole range."""
    order: list[int] = []
    seen: set[int] = set()
    parts = 1
    while len(order) < len(group):
        for part in range(parts + 1):
            index = round(part * (len(group) - 1) / parts)
            if index not in seen:
                seen.add(index)
                order.append(index)
        parts *= 2
    return [group[index] for index in order]

"""Tiles in little memory: the same tiles, whatever their paths are."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.tile_list import TileList
from train.xbd import Tile

_TEXT = st.text(
    st.characters(exclude_characters="\0/", codec="utf-8") | st.sampled_from("<=\udc80"),
    min_size=1,
    max_size=6,
)
_PATH = st.builds(
    lambda parts, absolute: Path("/" if absolute else "", *parts),
    st.lists(_TEXT, min_size=1, max_size=5),
    st.booleans(),
)
_TILE = st.builds(Tile, _TEXT, _TEXT, _PATH, _PATH, st.none() | _PATH, st.none() | _PATH)


@given(st.lists(_TILE, max_size=4))
@settings(max_examples=40, deadline=None)
def test_tiles_come_back_as_they_are(tiles: list[Tile]) -> None:
    packed = pickle.loads(pickle.dumps(TileList(tiles)))
    assert len(packed) == len(tiles)
    assert list(packed) == tiles
    assert list(packed[1:]) == tiles[1:]
    if tiles:
        assert packed[-1] == tiles[-1]
    with pytest.raises(IndexError):
        packed[len(tiles)]


def test_a_tile_takes_few_bytes() -> None:
    def tile(number: int) -> Tile:
        folder = Path("/a/rather/long/way/to/the/data/set/of/somebody/train")
        name = f"hurricane-matthew_{number:08d}"
        paths = [
            folder / kind / f"{name}_{when}_disaster{suffix}"
            for kind, suffix in (("images", ".png"), ("labels", ".json"))
            for when in ("pre", "post")
        ]
        return Tile(name, "hurricane-matthew", *paths)

    sizes = [len(pickle.dumps(TileList(map(tile, range(count))))) for count in (1000, 2000)]
    assert (sizes[1] - sizes[0]) / 1000 < 300

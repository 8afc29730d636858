"""The mask cache: equal to the rasteriser, by content, never trusting a damaged file."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from runtime.errors import DataError
from train.masks import MaskCache
from train.xbd import Tile, find_tiles

SQUARE = "POLYGON ((10 10, 20 10, 20 20, 10 20, 10 10))"
OTHER = "POLYGON ((30.6 30.4, 40.5 30.4, 40.5 39.5, 30.6 39.5, 30.6 30.4))"
THIRD = "POLYGON ((45 5, 60 5, 60 15, 45 5))"
BUILDINGS = [("a", SQUARE, "destroyed"), ("b", OTHER, "un-classified"), ("c", THIRD, "no-damage")]


@pytest.fixture
def tile(tile_set: Callable) -> Tile:
    (tile,) = find_tiles(tile_set(BUILDINGS), "train")
    return tile


def _assert_true(masks: MaskCache, tile: Tile, height: int = 64, width: int = 64) -> None:
    for found, wanted in zip(
        masks.targets(tile, height, width), tile.targets(height, width), strict=True
    ):
        assert found.dtype == np.uint8
        assert np.array_equal(found, wanted)


def test_masks_are_those_of_the_rasteriser_first_and_later(tile: Tile, tmp_path: Path) -> None:
    masks = MaskCache(tmp_path / "masks")
    _assert_true(masks, tile)
    (path,) = masks.folder.iterdir()
    written = path.stat().st_mtime_ns
    _assert_true(masks, tile)
    _assert_true(MaskCache(tmp_path / "masks"), tile)
    assert path.stat().st_mtime_ns == written


def test_real_masks_come_back_exactly(xbd_sample: Path, tmp_path: Path) -> None:
    masks = MaskCache(tmp_path)
    for tile in find_tiles(xbd_sample, "train") + find_tiles(xbd_sample, "tier3"):
        masks.targets(tile, 1024, 1024)
        _assert_true(masks, tile, 1024, 1024)


def test_each_size_has_its_own_file(tile: Tile, tmp_path: Path) -> None:
    masks = MaskCache(tmp_path)
    for size in ((64, 64), (32, 128), (128, 32)):
        masks.targets(tile, *size)
        _assert_true(masks, tile, *size)


def _damages(content: bytes) -> dict[str, bytes]:
    middle = len(content) // 2
    return {
        "cut": content[:middle],
        "cut at the end": content[:-1],
        "empty": b"",
        "garbled": content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :],
        "foreign": b"not a mask",
    }


@pytest.mark.parametrize("damage", _damages(b"0123"))
def test_a_damaged_file_is_rebuilt(tile: Tile, tmp_path: Path, damage: str) -> None:
    masks = MaskCache(tmp_path)
    masks.targets(tile, 64, 64)
    (path,) = tmp_path.glob("*.mask")
    whole = path.read_bytes()
    path.write_bytes(_damages(whole)[damage])
    _assert_true(masks, tile)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("when", ["pre", "post"])
def test_a_changed_label_has_new_masks(tile: Tile, tmp_path: Path, when: str) -> None:
    masks = MaskCache(tmp_path / "masks")
    before = masks.targets(tile, 64, 64)
    path = tile.pre_label if when == "pre" else tile.post_label
    label = json.loads(path.read_text())
    del label["features"]["xy"][0]
    path.write_text(json.dumps(label))
    _assert_true(masks, tile)
    after = masks.targets(tile, 64, 64)
    assert [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)] == [
        when == "pre",
        when == "post",
    ]


def test_many_writers_at_once_leave_one_whole_file(tile: Tile, tmp_path: Path) -> None:
    masks = MaskCache(tmp_path / "masks")
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda _: masks.targets(tile, 64, 64), range(32)))
    for building, damage in results:
        assert np.array_equal(building, tile.targets(64, 64)[0])
        assert np.array_equal(damage, tile.targets(64, 64)[1])
    assert len(list(masks.folder.iterdir())) == 1


def test_a_tile_without_labels_is_named(tile: Tile, tmp_path: Path) -> None:
    for path in tile.labels:
        path.unlink()
    (bare,) = find_tiles(tile.pre.parents[2], "train", labelled=False)
    with pytest.raises(DataError, match="town-flood_00000000: has no labels"):
        MaskCache(tmp_path).targets(bare, 64, 64)

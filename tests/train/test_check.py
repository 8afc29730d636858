"""The check before training: every bad tile named on one line, every good one measured."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.damage import IGNORE
from train.check import Checked, check_tiles, merge, smallest_side
from train.data_config import DataConfig
from train.masks import MaskCache
from train.xbd import Tile, find_tiles


@pytest.fixture
def tiles(synthetic: Path, tmp_path: Path) -> list[Tile]:
    """Eight tiles of 96x96 that a test may break."""
    shutil.copytree(synthetic, tmp_path / "data")
    return find_tiles(tmp_path / "data", "train")


def _names(checked: Checked) -> list[str]:
    return [facts.tile.name for facts in checked.good]


def test_good_tiles_are_measured_and_their_masks_kept(tiles: list[Tile], tmp_path: Path) -> None:
    masks = MaskCache(tmp_path / "masks")
    checked = check_tiles(tiles, masks, 96)
    assert checked.bad == []
    assert _names(checked) == [tile.name for tile in tiles]
    for facts in checked.good:
        assert (facts.height, facts.width) == (96, 96)
        damage = facts.tile.targets(96, 96)[1]
        assert facts.pixels.dtype == np.int64
        assert facts.pixels.tolist() == [np.count_nonzero(damage == value) for value in range(5)]
        assert facts.pixels.sum() == np.count_nonzero(damage != IGNORE)
    assert len(list(masks.folder.glob("*.mask"))) == len(tiles)


def _resave(path: Path, image: np.ndarray) -> None:
    assert cv2.imwrite(str(path), image)


def _truncate(tile: Tile) -> Path:
    tile.post.write_bytes(tile.post.read_bytes()[:-300])
    return tile.post


def _flip_a_byte(tile: Tile) -> Path:
    content = bytearray(tile.pre.read_bytes())
    content[len(content) // 2] ^= 255
    tile.pre.write_bytes(content)
    return tile.pre


def _wrong_size(tile: Tile) -> Path:
    _resave(tile.post, cv2.imread(str(tile.post))[:90])
    return tile.post


def _small(tile: Tile) -> Path:
    for path in (tile.pre, tile.post):
        _resave(path, cv2.imread(str(path))[:60])
    return tile.pre


def _grey(tile: Tile) -> Path:
    _resave(tile.pre, cv2.imread(str(tile.pre), cv2.IMREAD_GRAYSCALE))
    return tile.pre


def _garbled_label(tile: Tile) -> Path:
    tile.pre_label.write_text(tile.pre_label.read_text()[:-20])
    return tile.pre_label


def _missing_label(tile: Tile) -> Path:
    tile.post_label.unlink()
    return tile.post_label


FAULTS = {
    _truncate: "truncated",
    _flip_a_byte: "corrupted",
    _wrong_size: "90x96",
    _small: "60x96 (height x width); expected 64 pixels",
    _grey: "grey PNG; expected 8-bit RGB",
    _garbled_label: "not a JSON label",
    _missing_label: "No such file",
}


def test_every_bad_tile_is_named_with_its_fault(tiles: list[Tile], tmp_path: Path) -> None:
    expected = {
        str(fault(tile)): text for tile, (fault, text) in zip(tiles, FAULTS.items(), strict=False)
    }
    checked = check_tiles(tiles, MaskCache(tmp_path / "masks"), 64)
    assert _names(checked) == [tile.name for tile in tiles[len(FAULTS) :]]
    assert len(checked.bad) == len(FAULTS)
    for line in checked.bad:
        assert "\n" not in line
        path = line.partition(": ")[0]
        assert expected.pop(path) in line
    assert not expected


@pytest.mark.parametrize("world", [2, 3, 11])
def test_shards_merge_to_what_one_rank_finds(tiles: list[Tile], tmp_path: Path, world: int) -> None:
    _truncate(tiles[5]), _garbled_label(tiles[2])
    masks = MaskCache(tmp_path / "masks")
    whole = check_tiles(tiles, masks, 64)
    shards = [check_tiles(tiles[rank::world], masks, 64) for rank in range(world)]
    merged = merge(pickle.loads(pickle.dumps(shards)))
    assert merged.bad == whole.bad
    assert len(whole.bad) == 2
    assert _names(merged) == _names(whole)
    for one, other in zip(merged.good, whole.good, strict=True):
        assert np.array_equal(one.pixels, other.pixels)


def test_a_folder_that_cannot_be_written_is_not_blamed_on_the_tiles(
    tiles: list[Tile], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        check_tiles(tiles, MaskCache(tmp_path / "file"), 64)


def test_a_tile_must_hold_the_smallest_window() -> None:
    assert smallest_side(DataConfig(crop=512)) == 512
    assert smallest_side(DataConfig(crop=512, window=(768, 1024))) == 768
    assert smallest_side(DataConfig(crop=512, window=(256, 1024))) == 256

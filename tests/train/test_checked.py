"""The record of checked tiles: what changed is checked again, what did not is not read."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from train import check, checked
from train.check import check_tiles
from train.checked import CheckRecord, TileFacts
from train.masks import MaskCache
from train.window_cache import WindowCache
from train.xbd import Tile, find_tiles


@pytest.fixture
def tiles(synthetic: Path, tmp_path: Path) -> list[Tile]:
    """Eight tiles of 96x96 that a test may break."""
    shutil.copytree(synthetic, tmp_path / "data")
    return find_tiles(tmp_path / "data", "train")


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the files had lain there for long."""
    monkeypatch.setattr(checked, "_SETTLED_SECONDS", -1.0)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the tiles whose images were decoded."""
    names: list[str] = []
    images = check._images

    def seen(tile: Tile) -> tuple[np.ndarray, np.ndarray]:
        names.append(tile.name)
        return images(tile)

    monkeypatch.setattr(check, "_images", seen)
    return names


def _same(one: list[TileFacts], other: list[TileFacts]) -> None:
    for a, b in zip(one, other, strict=True):
        assert np.array_equal(a.pixels, b.pixels)
        assert a.pixels.dtype == b.pixels.dtype
        for name in TileFacts.__dataclass_fields__:
            if name != "pixels":
                assert getattr(a, name) == getattr(b, name), name


@pytest.mark.usefixtures("settled")
def test_a_second_start_reads_no_tile_and_finds_the_same(
    tiles: list[Tile], tmp_path: Path, read: list[str]
) -> None:
    masks = MaskCache(tmp_path / "masks")
    first = check_tiles(tiles, masks, 64)
    assert len(read) == 8
    second = check_tiles(tiles, masks, 64)
    assert len(read) == 8
    _same(first.good, second.good)


def _truncated(tile: Tile) -> None:
    os.truncate(tile.post, tile.post.stat().st_size - 300)


def _swapped_with_its_old_date(tile: Tile) -> None:
    """Another content of the same length and the same date, as a copying program leaves it."""
    before, content = tile.pre.stat(), bytearray(tile.pre.read_bytes())
    content[len(content) // 2] ^= 255
    tile.pre.write_bytes(content)
    os.utime(tile.pre, ns=(before.st_atime_ns, before.st_mtime_ns))


def _another_image(tile: Tile) -> None:
    cv2.imwrite(str(tile.post), 255 - cv2.imread(str(tile.post)))


def _another_label(tile: Tile) -> None:
    label = json.loads(tile.post_label.read_text())
    properties = {"feature_type": "building", "uid": "x", "subtype": "destroyed"}
    wkt = "POLYGON ((10 10, 21 10, 21 23, 10 23, 10 10))"
    label["features"]["xy"] = [{"properties": properties, "wkt": wkt}]
    tile.post_label.write_text(json.dumps(label))


def _label_gone(tile: Tile) -> None:
    tile.pre_label.unlink()


CHANGES: dict[Callable[[Tile], None], str] = {
    _truncated: "truncated",
    _swapped_with_its_old_date: "corrupted",
    _another_image: "",
    _another_label: "",
    _label_gone: "No such file",
}


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_tile_alone_is_checked_again(
    tiles: list[Tile], tmp_path: Path, read: list[str], change: Callable[[Tile], None]
) -> None:
    masks = MaskCache(tmp_path / "masks")
    first = check_tiles(tiles, masks, 64)
    read.clear()
    time.sleep(0.02)  # the resolution of the system's clock for files
    change(tiles[3])
    found = check_tiles(tiles, masks, 64)
    assert read == [tiles[3].name]
    if CHANGES[change]:
        (line,) = found.bad
        assert CHANGES[change] in line
        assert len(found.good) == 7
    else:
        fresh = check_tiles(tiles, MaskCache(tmp_path / "fresh"), 64)
        _same(found.good, fresh.good)
        changed, before = found.good[3], first.good[3]
        assert (changed.content, changed.targets) != (before.content, before.targets)


def test_files_that_changed_a_moment_ago_are_not_recorded(
    tiles: list[Tile], tmp_path: Path, read: list[str]
) -> None:
    """A change within the same tick of the clock would not be seen."""
    masks = MaskCache(tmp_path / "masks")
    check_tiles(tiles, masks, 64)
    check_tiles(tiles, masks, 64)
    assert len(read) == 16


@pytest.mark.usefixtures("settled")
def test_a_tile_that_changes_while_it_is_checked_is_not_recorded(
    tiles: list[Tile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks, images = MaskCache(tmp_path / "masks"), check._images

    def touched(tile: Tile) -> tuple[np.ndarray, np.ndarray]:
        found = images(tile)
        os.utime(tile.post)
        return found

    monkeypatch.setattr(check, "_images", touched)
    check_tiles(tiles, masks, 64)
    assert CheckRecord(masks.folder).read() == {}


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("damage", ["cut", "garbled", "foreign", "a folder"])
def test_a_damaged_record_does_not_count(
    tiles: list[Tile], tmp_path: Path, read: list[str], damage: str
) -> None:
    masks = MaskCache(tmp_path / "masks")
    first = check_tiles(tiles, masks, 64)
    (path,) = masks.folder.glob("*.checked")
    content = path.read_bytes()
    if damage == "a folder":
        path.unlink(), path.mkdir()
    else:
        lines = content.splitlines(keepends=True)
        path.write_bytes(
            {
                "cut": content[: -len(lines[-1]) // 2],
                "garbled": content.replace(b", false", b", true "),
                "foreign": b"\xff\xfe not a record\n\n",
            }[damage]
        )
    read.clear()
    _same(first.good, check_tiles(tiles, masks, 64).good)
    assert len(read) == (1 if damage == "cut" else 8)


@pytest.mark.usefixtures("settled")
def test_a_recorded_tile_is_still_too_small_for_a_larger_window(
    tiles: list[Tile], tmp_path: Path, read: list[str]
) -> None:
    masks = MaskCache(tmp_path / "masks")
    check_tiles(tiles, masks, 64)
    found = check_tiles(tiles, masks, 128)
    fresh = check_tiles(tiles, MaskCache(tmp_path / "fresh"), 128)
    assert found.bad == fresh.bad
    assert len(found.bad) == 8
    assert len(read) == 16


@pytest.mark.usefixtures("settled")
def test_a_recorded_tile_without_its_windows_is_read_again(
    tiles: list[Tile], tmp_path: Path, read: list[str]
) -> None:
    masks, windows = MaskCache(tmp_path / "masks"), WindowCache(tmp_path / "windows")
    check_tiles(tiles, masks, 64)
    facts = check_tiles(tiles, masks, 64, windows).good
    assert len(read) == 16
    windows.path(facts[2].content).unlink()
    check_tiles(tiles, masks, 64, windows)
    assert read[16:] == [facts[2].tile.name]
    check_tiles(tiles, masks, 64, windows)
    assert len(read) == 17


@pytest.mark.usefixtures("settled")
def test_a_record_that_cannot_be_kept_stops_nothing(
    tiles: list[Tile],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checked.files, "write_bytes", full)
    assert len(check_tiles(tiles, MaskCache(tmp_path / "masks"), 64).good) == 8
    assert "what was checked cannot be kept (No space left on device)" in capsys.readouterr().err


@pytest.mark.usefixtures("settled")
def test_what_was_checked_before_an_interruption_is_kept(
    tiles: list[Tile], tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    masks, facts = MaskCache(tmp_path / "masks"), check._facts

    def interrupted(tile: Tile, *rest: object) -> TileFacts | str:
        if tile.name == tiles[5].name:
            raise KeyboardInterrupt
        return facts(tile, *rest)

    monkeypatch.setattr(check, "_facts", interrupted)
    with pytest.raises(KeyboardInterrupt):
        check_tiles(tiles, masks, 64)
    monkeypatch.setattr(check, "_facts", facts)
    read.clear()
    assert len(check_tiles(tiles, masks, 64).good) == 8
    assert read == [tile.name for tile in tiles[5:]]


@pytest.mark.usefixtures("settled")
def test_data_that_moved_are_not_read_again(
    tiles: list[Tile], tmp_path: Path, read: list[str]
) -> None:
    masks = MaskCache(tmp_path / "masks")
    check_tiles(tiles, masks, 64)
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    moved = find_tiles(tmp_path / "elsewhere", "train")
    found = check_tiles(moved, masks, 64)
    assert len(read) == 8
    assert [fact.tile for fact in found.good] == moved

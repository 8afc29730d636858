"""Windows kept on disk: the bytes that decoding gives, or none; shared, and never half."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from runtime.errors import ConfigError
from train import window_cache
from train.check import check_tiles
from train.checkpoint import load_checkpoint
from train.config import TrainConfig
from train.config_file import load_config
from train.dataset import CropDataset, Reporting, collate, worker_init
from train.masks import MaskCache
from train.tile_images import StoredTiles
from train.window_cache import WindowCache, content_of, file_size
from train.xbd import Tile, find_tiles

REPOSITORY = Path(__file__).parents[2]
ARRAYS = ("pre", "post", "building", "damage")


def _pair(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    pre, post = random.integers(0, 256, (2, height, width, 3), np.uint8)
    return pre, post


def _kept(folder: Path, pair: tuple[np.ndarray, np.ndarray]) -> tuple[WindowCache, str]:
    cache, content = WindowCache(folder), content_of(*pair)
    cache.write(content, *pair)
    return cache, content


@st.composite
def _windows(draw: st.DrawFn) -> tuple[int, int, int, int, int]:
    height, width = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    side = draw(st.integers(1, min(height, width)))
    top, left = draw(st.integers(0, height - side)), draw(st.integers(0, width - side))
    return height, width, side, top, left


@given(_windows())
@settings(max_examples=60, deadline=None)
def test_every_window_is_that_of_the_decoded_pair(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[int, int, int, int, int]
) -> None:
    height, width, side, top, left = drawn
    pair = _pair(height, width)
    cache, content = _kept(tmp_path_factory.mktemp("w"), pair)
    assert cache.holds(content, height, width)
    assert cache.path(content).stat().st_size == file_size(height, width)
    stored = cache.find(content)
    assert stored is not None
    assert (stored.height, stored.width) == (height, width)
    found = stored.window(top, left, side)
    assert found is not None
    for image, whole in zip(found, pair, strict=True):
        assert np.array_equal(image, whole[top : top + side, left : left + side])


def test_a_real_tiles_windows_come_back_exactly(xbd_sample: Path, tmp_path: Path) -> None:
    tile = find_tiles(xbd_sample, "train")[0]
    pair = tile.images()
    cache, content = _kept(tmp_path, pair)
    assert cache.path(content).stat().st_size == 6 * 1024**2 + 4096
    for side, top, left in ((1024, 0, 0), (512, 511, 3), (256, 768, 768), (700, 1, 323)):
        found = cache.find(content).window(top, left, side)
        for image, whole in zip(found, pair, strict=True):
            assert np.array_equal(image, whole[top : top + side, left : left + side])


@given(st.integers(0, 4096 + 60 * 360 - 1), st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_a_flipped_byte_is_never_shown(
    tmp_path_factory: pytest.TempPathFactory, place: int, change: int
) -> None:
    pair = _pair(60, 60)
    cache, content = _kept(tmp_path_factory.mktemp("w"), pair)
    path = cache.path(content)
    damaged = bytearray(path.read_bytes())
    assert len(damaged) == 4096 + 60 * 360
    damaged[place] ^= change
    path.write_bytes(damaged)
    stored = cache.find(content)
    for top in (0, 30):
        found = stored.window(top, 15, 30) if stored else None
        if found is not None:
            assert np.array_equal(found[0], pair[0][top : top + 30, 15:45])
            assert np.array_equal(found[1], pair[1][top : top + 30, 15:45])
    if place >= 4096:
        assert stored.window(0, 0, 60) is None


@pytest.mark.parametrize("length", [0, 10, 100, 4095, 4096, 4096 + 60 * 360 - 1])
def test_a_cut_file_is_noticed(tmp_path: Path, length: int) -> None:
    cache, content = _kept(tmp_path, _pair(60, 60))
    os.truncate(cache.path(content), length)
    assert not cache.holds(content, 60, 60)
    stored = cache.find(content)
    assert stored is None or stored.window(30, 0, 30) is None


def test_a_file_under_anothers_name_is_not_taken_for_it(tmp_path: Path) -> None:
    cache, content = _kept(tmp_path, _pair(60, 60, 0))
    other = content_of(*_pair(60, 60, 1))
    cache.path(other).parent.mkdir(exist_ok=True)
    shutil.copy(cache.path(content), cache.path(other))
    assert cache.find(other) is None


def _config(folder: Path, cache: str = "disk", *overrides: str) -> TrainConfig:
    more = [f"data.cache={cache}", f"data.cache_folder={folder}", "data.crop=64", *overrides]
    return load_config(Path("demo"), more)


@pytest.fixture
def tiles(synthetic: Path, tmp_path: Path) -> list[Tile]:
    """Eight tiles of 96x96 that a test may break."""
    shutil.copytree(synthetic, tmp_path / "data")
    return find_tiles(tmp_path / "data", "train")


@pytest.fixture
def stored(tiles: list[Tile], tmp_path: Path) -> StoredTiles:
    windows = WindowCache(tmp_path / "windows")
    checked = check_tiles(tiles, MaskCache(tmp_path / "masks"), 64, windows)
    assert not checked.bad
    return StoredTiles(windows, [fact.content for fact in checked.good])


def _same_items(one: CropDataset, other: CropDataset, tiles: int = 8) -> bool:
    draws = [(epoch, tile, tile) for epoch in range(3) for tile in range(tiles)]
    return all(
        np.array_equal(one[draw][name].numpy(), other[draw][name].numpy())
        for draw in draws
        for name in ARRAYS
    )


def test_the_cache_changes_no_item_and_reads_no_image(
    tiles: list[Tile], stored: StoredTiles, tmp_path: Path
) -> None:
    masks = MaskCache(tmp_path / "masks")
    more = ("data.crop=64", "data.window=[40,96]")
    plain = CropDataset(tiles, _config(tmp_path, "none", *more), masks)
    kept = CropDataset(tiles, _config(tmp_path, "disk", *more), masks, stored)
    wanted = [plain[(0, n, n)] for n in range(8)]
    for tile in tiles:
        tile.pre.unlink(), tile.post.unlink()
    for n, item in enumerate(wanted):
        for name in ARRAYS:
            assert np.array_equal(kept[(0, n, n)][name].numpy(), item[name].numpy())


@pytest.mark.parametrize("damage", ["removed", "cut", "garbled", "unreadable"])
def test_what_is_damaged_is_decoded_and_kept_again(
    tiles: list[Tile], stored: StoredTiles, tmp_path: Path, damage: str
) -> None:
    masks = MaskCache(tmp_path / "masks")
    paths = sorted(stored.cache.folder.rglob("*.pair"))
    whole = [path.read_bytes() for path in paths]
    for path in paths:
        content = bytearray(path.read_bytes())
        content[4096:] = bytes(len(content) - 4096)
        path.unlink()
        if damage == "unreadable":
            path.mkdir()
        elif damage != "removed":
            path.write_bytes(content[:5000] if damage == "cut" else content)
    plain = CropDataset(tiles, _config(tmp_path, "none"), masks)
    assert _same_items(plain, CropDataset(tiles, _config(tmp_path), masks, stored))
    if damage != "unreadable":
        assert [path.read_bytes() for path in paths] == whole


def test_a_changed_image_is_never_kept_under_the_old_content(
    tiles: list[Tile], stored: StoredTiles, tmp_path: Path
) -> None:
    for path in stored.cache.folder.rglob("*.pair"):
        path.unlink()
    for tile in tiles:
        cv2.imwrite(str(tile.pre), 255 - cv2.imread(str(tile.pre)))
    kept = CropDataset(tiles, _config(tmp_path), MaskCache(tmp_path / "masks"), stored)
    for n in range(8):
        kept[(0, n, n)]
    assert not list(stored.cache.folder.rglob("*.pair"))


def test_a_changed_image_has_other_windows_at_the_next_start(
    tiles: list[Tile], stored: StoredTiles, tmp_path: Path
) -> None:
    cv2.imwrite(str(tiles[0].pre), 255 - cv2.imread(str(tiles[0].pre)))
    masks = MaskCache(tmp_path / "masks")
    checked = check_tiles(tiles, masks, 64, stored.cache)
    again = StoredTiles(stored.cache, [fact.content for fact in checked.good])
    plain = CropDataset(tiles, _config(tmp_path, "none"), masks)
    assert _same_items(plain, CropDataset(tiles, _config(tmp_path), masks, again))


def test_loader_processes_read_the_same_windows(
    tiles: list[Tile], stored: StoredTiles, tmp_path: Path
) -> None:
    dataset = CropDataset(tiles, _config(tmp_path), MaskCache(tmp_path / "masks"), stored)
    loader = DataLoader(
        Reporting(dataset), batch_size=4, sampler=[(0, n, n) for n in range(8)], num_workers=1,
        collate_fn=collate, worker_init_fn=worker_init, multiprocessing_context="spawn",
    )  # fmt: skip
    batches = list(loader)
    for n in range(8):
        for name in ARRAYS:
            assert np.array_equal(batches[n // 4][name][n % 4], dataset[(0, n, n)][name])


def test_a_full_disk_is_one_line_before_anything_is_written(
    tiles: list[Tile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "windows"
    usage = shutil.disk_usage(tmp_path)._replace(free=100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    need = 8 * file_size(96, 96) / 1e9
    with pytest.raises(ConfigError, match=rf"need {need:.2f} GB more and .* has 0.00 GB free"):
        check_tiles(tiles, MaskCache(tmp_path / "masks"), 64, WindowCache(folder))
    assert not folder.exists()


def test_what_is_kept_already_needs_no_room(
    tiles: list[Tile], stored: StoredTiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert not check_tiles(tiles, MaskCache(tmp_path / "others"), 64, stored.cache).bad


def test_a_folder_that_is_complete_is_only_read(
    tiles: list[Tile], stored: StoredTiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, *_: object) -> None:
        raise AssertionError(f"{path} is written")

    masks = MaskCache(tmp_path / "masks")
    shutil.rmtree(masks.folder)
    monkeypatch.setattr(window_cache.files, "check_writable", refused)
    monkeypatch.setattr(WindowCache, "write", refused)
    assert len(check_tiles(tiles, masks, 64, stored.cache).good) == 8


def test_a_folder_that_cannot_be_written_is_named(tiles: list[Tile], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        check_tiles(tiles, MaskCache(tmp_path / "m"), 64, WindowCache(tmp_path / "file" / "w"))


WRITER = """
import sys
from pathlib import Path
import numpy as np
from train.window_cache import WindowCache, content_of
number = 0
while True:
    pre, post = np.random.default_rng(number).integers(0, 256, (2, 256, 256, 3), np.uint8)
    WindowCache(Path(sys.argv[1])).write(content_of(pre, post), pre, post)
    print(number, flush=True)
    number += 1
"""


def test_two_killed_writers_of_the_same_leave_whole_files(tmp_path: Path) -> None:
    line = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [
        subprocess.Popen(line, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for writer in writers:
        while int(writer.stdout.readline()) < 20:
            pass
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    paths = list(tmp_path.rglob("*.pair"))
    found = {path.name for path in paths if not path.name.startswith(".")}
    assert len(found) >= 20
    for name in found:
        pair = WindowCache(tmp_path).find(name.removesuffix(".pair")).window(0, 0, 256)
        assert content_of(*pair) == name.removesuffix(".pair")


def test_what_a_killed_writer_left_is_removed_when_it_is_old(tmp_path: Path) -> None:
    cache, content = _kept(tmp_path, _pair(60, 60))
    folder = cache.path(content).parent
    (folder / ".old.partial.pair").write_bytes(b"half")
    (folder / ".new.partial.pair").write_bytes(b"half")
    before = time.time() - 7200
    os.utime(folder / ".old.partial.pair", (before, before))
    cache.prepare([])
    assert not (folder / ".old.partial.pair").exists()
    assert (folder / ".new.partial.pair").exists()  # its writer may be at work
    assert cache.holds(content, 60, 60)


def test_training_with_the_cache_is_the_same_and_writes_beside_the_run(
    synthetic: Path, tmp_path: Path, command: Callable
) -> None:
    ends = {}
    for cache in ("none", "disk"):
        out = tmp_path / cache
        result = command(
            "train", "--config", "demo", "--data", synthetic, "--out", out, f"data.cache={cache}",
            "data.crop=64", "data.workers=0", "model.width=8", "model.stem_width=8",
            "model.blocks=1", "model.projection=16", "model.head_widths=[16,8]",
            "schedule=[{epochs: 1, rate: 0.001}]",
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        ends[cache] = json.dumps(load_checkpoint(out / "last.pt").metrics)
    assert ends["none"] == ends["disk"]
    assert len(list((tmp_path / "disk/tiles").rglob("*.pair"))) == 8
    assert not (tmp_path / "none/tiles").exists()

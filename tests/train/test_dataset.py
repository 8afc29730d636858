"""Crops: reproducible, aligned, zoomed as asked, and errors that reach the training process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from runtime.errors import DataError, ImageError, ToolkitError
from train.config import TrainConfig
from train.config_file import load_config
from train.dataset import CropDataset, Reporting, collate, worker_init
from train.masks import MaskCache
from train.xbd import Tile, find_tiles

CONFIGS = Path(__file__).parents[2] / "train" / "configs"
PLAIN = "{geometry: false, photometry: 0}"
ARRAYS = ("pre", "post", "building", "damage")


def _config(*overrides: str) -> TrainConfig:
    """Of the demo, at its full level from the first epoch on."""
    schedule = "schedule=[{epochs: 18, rate: 1, augment: full}]"
    return load_config(CONFIGS / "demo.yaml", ["data.crop=64", schedule, *overrides])


def _plain(*overrides: str) -> TrainConfig:
    return _config(f"augment.full={PLAIN}", *overrides)


def _square(x: int, y: int, side: int) -> str:
    corners = [(x, y), (x + side, y), (x + side, y + side), (x, y + side), (x, y)]
    return f"POLYGON (({', '.join(f'{a} {b}' for a, b in corners)}))"


@pytest.fixture(autouse=True)
def _any_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which scales may be trained at is tests/train/test_scales.py's concern."""
    monkeypatch.setattr("train.config_file.require_native_scale", lambda *_: None)


@pytest.fixture
def drawn(tile_set: Callable) -> Callable[..., Tile]:
    """A tile whose images show its own footprints, white on black."""

    def make(buildings: list[tuple[str, str, str]], size: int) -> Tile:
        (tile,) = find_tiles(tile_set(buildings, size), "train")
        building, _ = tile.targets(size, size)
        for path in (tile.pre, tile.post):
            assert cv2.imwrite(str(path), cv2.merge([building * 255] * 3))
        return tile

    return make


def test_an_item_depends_on_seed_epoch_position_and_tile_alone(synthetic: Path) -> None:
    tiles = find_tiles(synthetic, "train")
    first, second = (CropDataset(tiles, _config("data.cache=false")) for _ in range(2))
    second[(0, 1, 1)], second[(5, 2, 0)]  # other draws in between change nothing
    reference = first[(3, 1, 2)]
    for name in ARRAYS:
        assert torch.equal(reference[name], second[(3, 1, 2)][name]), name
    for other in ((4, 1, 2), (3, 2, 2), (3, 1, 3)):
        assert not torch.equal(reference["pre"], first[other]["pre"]), other
    seeded = CropDataset(tiles, _config("seed=1"))
    assert not torch.equal(reference["pre"], seeded[(3, 1, 2)]["pre"])


def test_an_item_holds_what_it_promises(synthetic: Path, tmp_path: Path) -> None:
    tiles = find_tiles(synthetic, "train")
    dataset = CropDataset(tiles, _config("data.window=[70,96]"), MaskCache(tmp_path))
    for tile in range(len(tiles)):
        item = dataset[(20, 7, tile)]
        assert item["name"] == tiles[tile].name
        for name, channels in (("pre", (3,)), ("post", (3,)), ("building", ()), ("damage", ())):
            assert item[name].dtype == torch.uint8
            assert item[name].shape == (64, 64, *channels)
        assert set(item["building"].unique().tolist()) <= {0, 1}
        assert set(item["damage"].unique().tolist()) <= {0, 1, 2, 3, 4, 255}


def _whole(tile: Tile, side: int) -> dict:
    return CropDataset([tile], _plain(f"data.crop={side}"))[(0, 0, 0)]


def test_images_are_those_of_the_strict_reader(synthetic: Path, xbd_sample: Path) -> None:
    # The real tiles name a transparent colour, which readers treat in different ways.
    real = [(tile, 1024) for tile in find_tiles(xbd_sample, "train")[-2:]]
    for tile, side in [(find_tiles(synthetic, "train")[0], 96), *real]:
        item = _whole(tile, side)
        for name, expected in zip(ARRAYS, (*tile.images(), *tile.targets(side, side)), strict=True):
            assert np.array_equal(item[name].numpy(), expected)


def test_tif_tiles_are_read(tile_set: Callable) -> None:
    root = tile_set([("a", _square(10, 10, 20), "destroyed")])
    for path in (root / "train/images").iterdir():
        cv2.imwrite(str(path.with_suffix(".tif")), cv2.imread(str(path)))
        path.unlink()
    (tile,) = find_tiles(root, "train")
    assert np.array_equal(_whole(tile, 64)["post"].numpy(), tile.images()[1])


def test_the_mask_cache_changes_no_item(synthetic: Path, tmp_path: Path) -> None:
    tiles = find_tiles(synthetic, "train")
    plain = CropDataset(tiles, _config("data.cache=false"))
    cached = CropDataset(tiles, _config("data.cache=false"), MaskCache(tmp_path))
    for draw in [(0, n, n % len(tiles)) for n in range(2 * len(tiles))]:
        assert all(torch.equal(plain[draw][name], cached[draw][name]) for name in ARRAYS)


@pytest.mark.parametrize("zoom", [0.5, 0.8, 1.0, 1.3, 2.0])
def test_zoom_enlarges_masks_and_images_together(drawn: Callable, zoom: float) -> None:
    tile = drawn([("a", _square(100, 120, 19), "destroyed")], 256)  # fillPoly makes it 20 wide
    level = f"augment.full={{geometry: false, photometry: 0, scale: [{zoom}, {zoom}]}}"
    dataset = CropDataset([tile], _config(level, "data.crop=128", "data.building_crops=1.0"))
    for position in range(5):
        item = dataset[(0, position, 0)]
        mask = item["damage"].numpy() == 4
        for axis in (0, 1):
            assert np.count_nonzero(mask.any(axis)) == pytest.approx(20 * zoom, abs=1)
        for name in ("pre", "post"):
            shown = item[name].numpy()[..., 0] > 127
            assert np.array_equal(item["building"].numpy() == 1, mask)
            # A threshold at half and the nearest value agree but along the outline.
            assert np.count_nonzero(shown != mask) <= 80 * zoom


def test_window_is_drawn_from_its_range_and_resized(drawn: Callable) -> None:
    tile = drawn([("a", _square(0, 0, 255), "no-damage")], 256)
    position_of = np.arange(256, dtype=np.uint8)
    image = np.broadcast_to(position_of[:, None, None], (256, 256, 3))
    for path in (tile.pre, tile.post):
        assert cv2.imwrite(str(path), np.ascontiguousarray(image))
    dataset = CropDataset([tile], _plain("data.crop=64", "data.window=[64,192]"))
    sides = []
    for position in range(200):
        rows = dataset[(0, position, 0)]["pre"].numpy()[:, 0, 0].astype(float)
        sides.append(64 * (rows[-8] - rows[8]) / 48)  # rows of the tile in the crop
    assert 62 <= min(sides) < 76
    assert 180 < max(sides) <= 194
    assert np.mean(sides) == pytest.approx(128, abs=5 * 128 / np.sqrt(12 * 200))


def test_shrinking_averages_areas(drawn: Callable) -> None:
    random = np.random.default_rng(0)
    noise = cv2.GaussianBlur(random.integers(0, 255, (200, 200, 3), np.uint8), (0, 0), 1.5)
    tile = drawn([], 200)
    for path in (tile.pre, tile.post):
        assert cv2.imwrite(str(path), noise)
    for crop in (64, 96, 128, 160, 192):
        dataset = CropDataset([tile], _plain(f"data.crop={crop}", "data.window=[200,200]"))
        found = dataset[(0, 0, 0)]["pre"].numpy()[..., ::-1].astype(int)
        area = cv2.resize(noise, (crop, crop), interpolation=cv2.INTER_AREA)
        assert abs(found - area).mean() < 1.5
        assert abs((found - area).mean()) < 0.2


def test_building_crops_hold_a_building(synthetic: Path) -> None:
    tiles = [t for t in find_tiles(synthetic, "train") if t.targets(96, 96)[1].any()]
    dataset = CropDataset(tiles, _config("data.building_crops=1.0", "data.crop=64"))
    for position in range(5):
        for tile in range(len(tiles)):
            assert dataset[(0, position, tile)]["building"].any()


def test_building_crops_take_every_class_alike(drawn: Callable) -> None:
    tile = drawn(
        [("a", _square(300, 300, 200), "no-damage"), ("b", _square(20, 20, 3), "destroyed")], 512
    )
    dataset = CropDataset([tile], _plain("data.building_crops=1.0"))
    small = sum(bool((dataset[(0, n, 0)]["damage"] == 4).any()) for n in range(200))
    assert abs(small - 100) < 5 * np.sqrt(200 / 4)


def test_the_level_is_that_of_the_epochs_phase(synthetic: Path) -> None:
    schedule = "schedule=[{epochs: 2, rate: 1, augment: light}, {epochs: 1, rate: 1}]"
    levels = (f"augment.light={PLAIN}", "augment.full={geometry: false, photometry: 1.0}")
    tile = find_tiles(synthetic, "train")[0]
    dataset = CropDataset([tile], _config(schedule, *levels, "data.crop=96"))
    as_stored = [
        np.array_equal(dataset[(epoch, n, 0)]["pre"].numpy(), tile.images()[0])
        for epoch in range(3)
        for n in range(10)
    ]
    assert all(as_stored[:20])
    assert sum(as_stored[20:]) < 8  # two in ten are left as they are


def test_decoded_tiles_stay_as_they_are_in_memory(synthetic: Path) -> None:
    tiles = find_tiles(synthetic, "train")
    level = "augment.full={photometry: 1, colour: 0.5, degrade: 1, shift: 3}"
    kept = CropDataset(tiles, _config(level, "data.crop=96", "data.cache=true"))
    read = CropDataset(tiles, _config(level, "data.crop=96", "data.cache=false"))
    for position in range(10):
        for name in ARRAYS:
            assert torch.equal(kept[(0, position, 0)][name], read[(0, position, 0)][name])


@pytest.mark.parametrize(
    ("override", "needed"), [("data.crop=128", 128), ("data.window=[100,200]", 100)]
)
def test_a_tile_too_small_for_the_crop_is_refused(
    synthetic: Path, override: str, needed: int
) -> None:
    dataset = CropDataset(find_tiles(synthetic, "train"), _config(override))
    with pytest.raises(DataError, match=rf"pre_disaster.png: 96x96 .* expected {needed} pixels"):
        dataset[(0, 0, 0)]


def test_a_file_cut_off_after_the_check_is_named(synthetic: Path, tile_set: Callable) -> None:
    (tile,) = find_tiles(tile_set([]), "train")
    dataset = CropDataset([tile], _config("data.cache=false"))
    dataset[(0, 0, 0)]
    tile.post.write_bytes(tile.post.read_bytes()[:-200])
    with pytest.raises(ImageError, match="post_disaster.png.*truncated"):
        dataset[(0, 0, 0)]


def test_images_of_two_sizes_are_named(tile_set: Callable) -> None:
    (tile,) = find_tiles(tile_set([], 96), "train")
    cv2.imwrite(str(tile.post), cv2.imread(str(tile.post))[:80])
    with pytest.raises(ImageError, match="post_disaster.png: 80x96"):
        CropDataset([tile], _config())[(0, 0, 0)]


def test_a_loader_process_gives_the_same_items_and_errors_on_one_line(
    synthetic: Path, tmp_path: Path, tile_set: Callable
) -> None:
    (broken,) = find_tiles(tile_set([]), "train")
    broken.pre_label.write_text("{")
    gone = Tile(**{**broken.__dict__, "pre": tmp_path / "gone.png"})
    tiles = [*find_tiles(synthetic, "train")[:2], broken, gone]
    dataset = CropDataset(tiles, _config(), MaskCache(tmp_path / "masks"))
    loader = DataLoader(
        Reporting(dataset),
        batch_size=2,
        sampler=[(0, 0, 0), (0, 1, 1), (0, 2, 2), (0, 3, 0), (0, 4, 1), (0, 5, 3)],
        collate_fn=collate,
        num_workers=1,
        multiprocessing_context="spawn",
        worker_init_fn=worker_init,
    )
    batch, label_error, file_error = loader
    assert batch["name"] == [tile.name for tile in tiles[:2]]
    for name in ARRAYS:
        for index in range(2):
            assert torch.equal(batch[name][index], dataset[(0, index, index)][name])
    for error, path in ((label_error, broken.pre_label), (file_error, gone.pre)):
        assert isinstance(error, ToolkitError)
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)

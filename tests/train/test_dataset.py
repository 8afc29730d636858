"""Crops, augmentation and sampling: reproducible, aligned, fair to ranks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from runtime.errors import DataError
from train.augment import PairAugmentation
from train.config import AugmentConfig, TrainConfig, load_config
from train.dataset import CropDataset, EpochSampler
from train.xbd import find_tiles

CONFIGS = Path(__file__).parents[2] / "train" / "configs"


def _config(*overrides: str) -> TrainConfig:
    return load_config(CONFIGS / "demo.yaml", ["data.crop=64", *overrides])


def test_an_item_depends_on_seed_epoch_and_index_alone(synthetic: Path) -> None:
    tiles = find_tiles(synthetic, "train")
    first, second = (CropDataset(tiles, _config()) for _ in range(2))
    second[(0, 1)], second[(5, 2)]  # other draws in between change nothing
    for name, tensor in first[(3, 1)].items():
        assert torch.equal(tensor, second[(3, 1)][name]), name
    assert not torch.equal(first[(3, 1)]["pre"], first[(4, 1)]["pre"])
    other = CropDataset(tiles, _config("seed=1"))
    assert not torch.equal(first[(3, 1)]["pre"], other[(3, 1)]["pre"])


def test_geometry_is_shared_by_images_and_targets() -> None:
    marker = np.zeros((64, 64), np.uint8)
    marker[5:9, 10:30] = 4
    image = np.repeat(marker[..., None] * 50, 3, 2)
    augment = PairAugmentation(AugmentConfig(photometry=0, shift=0))
    seen = set()
    for seed in range(40):
        sample = {"pre": image, "post": image, "building": marker, "damage": marker}
        out = augment(sample, np.random.default_rng(seed))
        assert np.array_equal(out["pre"], out["post"])
        assert np.array_equal(out["damage"], out["building"])
        assert np.array_equal(out["pre"][..., 0] // 50, out["damage"])
        seen.add(out["damage"].tobytes())
    assert len(seen) == 8  # four quarter turns, mirrored or not


def test_shift_moves_the_post_image_alone() -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 255, (64, 64, 3), np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    augment = PairAugmentation(AugmentConfig(photometry=0, shift=3, geometry=False))
    sample = {"pre": image, "post": image, "building": mask, "damage": mask}
    out = augment(sample, np.random.default_rng(3))
    assert np.array_equal(out["pre"], image)
    moves = [
        (dx, dy)
        for dx in range(-3, 4)
        for dy in range(-3, 4)
        if np.array_equal(np.roll(image, (dy, dx), (0, 1))[8:-8, 8:-8], out["post"][8:-8, 8:-8])
    ]
    assert len(moves) == 1


def test_building_crops_hold_a_building(synthetic: Path) -> None:
    tiles = [t for t in find_tiles(synthetic, "train") if t.buildings[1]]
    dataset = CropDataset(tiles, _config("data.building_crops=1.0", "data.crop=64"))
    for epoch in range(5):
        for index in range(len(tiles)):
            assert dataset[(epoch, index)]["building"].any()


def test_a_crop_larger_than_the_tile_is_refused(synthetic: Path) -> None:
    dataset = CropDataset(find_tiles(synthetic, "train"), _config("data.crop=128"))
    with pytest.raises(
        DataError, match=r"tile of 96x96 cannot give crops of 128x128.*data.crop=96"
    ):
        dataset[(0, 0)]


@pytest.mark.parametrize(("length", "world"), [(40, 1), (41, 2), (43, 3)])
def test_ranks_draw_disjoint_samples_in_equal_numbers(length: int, world: int) -> None:
    draws = []
    for rank in range(world):
        sampler = EpochSampler(length, batch=4, seed=0, rank=rank, world=world)
        sampler.epoch = 2
        draws.append(list(sampler))
    sizes = {len(d) for d in draws}
    assert sizes == {length // (4 * world) * 4}
    everything = [index for d in draws for _, index in d]
    assert len(set(everything)) == len(everything)


def test_epochs_are_shuffled_differently() -> None:
    sampler = EpochSampler(64, batch=4, seed=0, rank=0, world=1)
    first = [index for _, index in sampler]
    sampler.epoch = 1
    assert [index for _, index in sampler] != first


def test_too_few_samples_for_one_batch_are_refused() -> None:
    with pytest.raises(DataError, match="do not fill one batch of 8 on each of 2 ranks"):
        EpochSampler(10, batch=8, seed=0, rank=0, world=2)


def test_augmentation_never_calls_home() -> None:
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise SystemExit('network was asked for')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "import train.augment\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=CONFIGS.parents[1])

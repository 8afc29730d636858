"""Synthetic scenes beside the data set: drawn once, in their share, and part of the record."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from runtime.errors import ConfigError
from train.augment import PairAugmentation
from train.config import TrainConfig
from train.distributed import World
from train.levels import AugmentLevel
from train.masks import MaskCache
from train.sampling import EpochSampler
from train.scenes import scenes

ALONE = World(0, 1, torch.device("cpu"))


def _config(seed: int = 0, **schedule: object) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "seed": seed,
            "model": {"width": 4},
            "data": {"crop": 64, "synthetic": {"tiles": 3, "size": 64}},
            "schedule": [{"epochs": 1, "rate": 1e-3, "synthetic": 0.5, **schedule}],
        }
    )


def test_scenes_are_drawn_once_and_another_set_is_refused(tmp_path: Path) -> None:
    masks = MaskCache(tmp_path / "masks")
    drawn = scenes(_config(), tmp_path, masks, ALONE)
    assert [(fact.height, fact.width) for fact in drawn] == [(64, 64)] * 3
    assert all(fact.tile.disaster.startswith("synthetic-") for fact in drawn)
    image = drawn[0].tile.pre
    written = image.stat().st_mtime_ns
    again = scenes(_config(), tmp_path, masks, ALONE)
    assert [fact.content for fact in again] == [fact.content for fact in drawn]
    assert image.stat().st_mtime_ns == written
    image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(ConfigError, match=r"1 of them damaged.*remove it, it is drawn anew"):
        scenes(_config(), tmp_path, masks, ALONE)
    shutil.rmtree(tmp_path / "synthetic-seed0")
    assert len(scenes(_config(), tmp_path, masks, ALONE)) == 3


def test_another_seed_has_other_scenes(tmp_path: Path) -> None:
    masks = MaskCache(tmp_path / "masks")
    drawn = [
        {fact.content for fact in scenes(_config(seed), tmp_path, masks, ALONE)} for seed in (0, 1)
    ]
    assert not drawn[0] & drawn[1]


@pytest.mark.parametrize("balanced", [False, True])
def test_each_epoch_takes_its_share_of_scenes_evenly(*, balanced: bool) -> None:
    groups = [0, 1, 1, 4] if balanced else None
    sampler = EpochSampler(
        4, 50, batch=1, seed=3, rank=0, world=1, groups=groups, synthetic=7, shares=[0, 0.3, 1]
    )
    found = {}
    for epoch in range(3):
        sampler.epoch = epoch
        found[epoch] = Counter(tile for _, _, tile in sampler)
    assert not any(tile >= 4 for tile in found[0])
    of_scenes = {tile: count for tile, count in found[1].items() if tile >= 4}
    assert sum(of_scenes.values()) == 60
    assert set(of_scenes) == set(range(4, 11))
    assert max(of_scenes.values()) - min(of_scenes.values()) <= 1
    assert set(found[2]) == set(range(4, 11))


def test_ranks_share_one_order_with_scenes() -> None:
    def draws(rank: int, world: int) -> list:
        return list(
            EpochSampler(5, 8, 2, seed=1, rank=rank, world=world, synthetic=3, shares=[0.5])
        )

    assert sorted(draws(0, 2) + draws(1, 2)) == draws(0, 1)


def test_scenes_and_shares_need_each_other() -> None:
    with pytest.raises(ValueError, match="there are none; add data.synthetic"):
        TrainConfig.model_validate(
            {"model": {}, "schedule": [{"epochs": 1, "rate": 1e-3, "synthetic": 0.5}]}
        )
    with pytest.raises(ValueError, match="no phase of the schedule takes a share"):
        _config(synthetic=0)
    with pytest.raises(ValueError, match="smaller than a crop's window"):
        TrainConfig.model_validate(
            {
                "model": {},
                "data": {"crop": 512, "synthetic": {"tiles": 3, "size": 256}},
                "schedule": [{"epochs": 1, "rate": 1e-3, "synthetic": 0.5}],
            }
        )


def test_an_unchanged_pair_shows_the_place_before_twice_and_no_damage() -> None:
    random = np.random.default_rng(0)
    sample = {
        "pre": random.integers(0, 256, (64, 64, 3), np.uint8),
        "post": random.integers(0, 256, (64, 64, 3), np.uint8),
        "building": (random.random((64, 64)) < 0.5).astype(np.uint8),
        "damage": random.choice(np.array([0, 1, 4, 255], np.uint8), (64, 64)),
    }
    level = AugmentLevel(geometry=False, photometry=0, unchanged=1)
    changed = PairAugmentation(level)(sample, np.random.default_rng(1))
    np.testing.assert_array_equal(changed["post"], sample["pre"])
    np.testing.assert_array_equal(changed["damage"], sample["building"])
    off = PairAugmentation(level.model_copy(update={"unchanged": 0}))
    same = off(sample, np.random.default_rng(1))
    for name, array in sample.items():
        np.testing.assert_array_equal(same[name], array)

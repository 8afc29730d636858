"""Which tiles are drawn: fair to tiles and groups, equal for ranks, resumable."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import DataError
from train.sampling import EpochSampler, group_by_rarest_class


def _draws(world: int = 1, epoch: int = 0, skip: int = 0, **options) -> list[list]:
    """Of every rank."""
    ranks = []
    for rank in range(world):
        sampler = EpochSampler(rank=rank, world=world, **{"seed": 0, **options})
        sampler.epoch, sampler.skip = epoch, skip
        ranks.append(list(sampler))
        assert len(ranks[-1]) == len(sampler)
    return ranks


@given(
    tiles=st.integers(1, 60),
    crops=st.integers(1, 4),
    batch=st.integers(1, 5),
    world=st.integers(1, 4),
    accumulate=st.integers(1, 3),
    groups=st.integers(0, 5),
)
def test_ranks_share_out_one_order_in_whole_steps(tiles, crops, batch, world, accumulate, groups):
    options = {
        "tiles": tiles,
        "crops_per_tile": crops,
        "groups": [tile % groups for tile in range(tiles)] if groups else None,
    }
    window = batch * world * accumulate
    if tiles * crops < window:
        with pytest.raises(DataError, match="do not fill one optimiser step"):
            _draws(world, batch=batch, accumulate=accumulate, **options)
        return
    ranks = _draws(world, batch=batch, accumulate=accumulate, epoch=3, **options)
    assert {len(rank) for rank in ranks} == {tiles * crops // window * batch * accumulate}
    together = sorted(draw for rank in ranks for draw in rank)
    # Whatever the number of ranks, the epoch is the same, cut at its end.
    (alone,) = _draws(batch=1, epoch=3, **options)
    assert together == alone[: len(together)]
    assert [position for _, position, _ in alone] == list(range(tiles * crops))


@given(tiles=st.integers(1, 40), crops=st.integers(1, 5), epoch=st.integers(0, 3))
def test_uniform_draws_every_tile_equally_often(tiles: int, crops: int, epoch: int) -> None:
    (draws,) = _draws(tiles=tiles, crops_per_tile=crops, batch=1, epoch=epoch)
    assert Counter(tile for _, _, tile in draws) == dict.fromkeys(range(tiles), crops)


def test_balanced_gives_each_group_the_same_share_at_any_point() -> None:
    groups = [0] * 70 + [1] * 20 + [4] * 3
    (draws,) = _draws(tiles=93, crops_per_tile=10, batch=1, groups=groups)
    for end in (5, 93, 500, 930):
        counts = Counter(groups[tile] for _, _, tile in draws[:end])
        assert max(counts.values()) - min(counts.values()) <= 1


def test_balanced_draws_the_tiles_of_a_group_alike() -> None:
    groups = [0] * 60 + [3] * 6
    (draws,) = _draws(tiles=66, crops_per_tile=200, batch=1, groups=groups)
    counts = Counter(tile for _, _, tile in draws)
    for members in (range(60), range(60, 66)):
        drawn, share = 66 * 100, 1 / len(members)
        spread = np.sqrt(drawn * share * (1 - share))  # of a binomial count
        for tile in members:
            assert abs(counts[tile] - drawn * share) < 5 * spread


@pytest.mark.parametrize("groups", [None, [0, 1] * 16])
def test_epochs_and_seeds_differ_and_repeat(groups: list[int] | None) -> None:
    options = {"tiles": 32, "crops_per_tile": 1, "batch": 4, "groups": groups}

    def tiles(**more: int) -> list[int]:
        return [tile for _, _, tile in _draws(**options, **more)[0]]

    assert tiles(epoch=1) == tiles(epoch=1)
    assert tiles(epoch=1) != tiles(epoch=2)
    assert tiles(epoch=1) != tiles(epoch=1, seed=1)


@pytest.mark.parametrize("groups", [None, [0, 1, 1] * 10])
@pytest.mark.parametrize("skip", [0, 1, 6])
def test_skip_leaves_the_tail_of_the_uninterrupted_epoch(groups, skip: int) -> None:
    options = {"tiles": 30, "crops_per_tile": 2, "batch": 4, "groups": groups, "epoch": 2}
    for whole, rest in zip(_draws(2, **options), _draws(2, skip=skip, **options), strict=True):
        assert len(whole) == 28
        assert rest == whole[4 * skip :]


def test_too_few_draws_say_what_to_change() -> None:
    with pytest.raises(
        DataError, match=r"10 draws .* step of 3 x 2 on each of 2 ranks; lower optim.batch_size"
    ):
        EpochSampler(10, 1, batch=2, seed=0, rank=0, world=2, accumulate=3)


def test_tiles_are_grouped_by_the_class_that_is_rarest_over_all() -> None:
    pixels = [
        [900, 100, 0, 0, 0],
        [900, 60, 20, 20, 0],  # class 3 is rarer than 2: 20 pixels in all against 25
        [995, 0, 5, 0, 0],
        [400, 0, 0, 0, 600],  # class 4 is the commonest, and all this tile holds
        [1000, 0, 0, 0, 0],
        [899, 1, 0, 0, 100],  # 161 pixels of class 1 in all, 700 of class 4
    ]
    groups = group_by_rarest_class([np.array(row, np.int64) for row in pixels])
    assert groups == [1, 3, 2, 4, 0, 1]

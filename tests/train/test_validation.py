"""Validation along a run: which tiles, in what precision, and that nothing is counted otherwise."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from runtime.errors import CheckpointError, ConfigError, ToolkitError
from runtime.score import Counts
from train.ahead import ahead
from train.check import TileFacts, check_tiles
from train.checkpoint import load_checkpoint
from train.distributed import World
from train.evaluate import score_tiles
from train.inference import predict_maps
from train.masks import MaskCache
from train.model import DualHRNet
from train.scored import Scored
from train.validation import drawn_evenly, validate
from train.xbd import find_tiles

ALONE = World(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def network(small_checkpoint: Path) -> DualHRNet:
    return load_checkpoint(small_checkpoint).network()


@pytest.fixture
def masks(tmp_path: Path) -> MaskCache:
    return MaskCache(tmp_path / "masks")


def _facts(disaster: str, name: str, *classes: int) -> TileFacts:
    pixels = np.zeros(5, np.int64)
    pixels[list(classes)] = 10
    tile = SimpleNamespace(disaster=disaster, name=f"{disaster}_{name}")
    return TileFacts(tile, 64, 64, pixels, 10, "", "", False, None)


def test_the_score_of_a_subset_is_that_of_exactly_these_tiles(network, synthetic, masks) -> None:
    facts = check_tiles(find_tiles(synthetic, "train"), masks, 32).good
    drawn = [each.tile for each in drawn_evenly(facts, 5)]
    assert len(set(drawn)) == 5
    found = validate(network, drawn, masks, ALONE)
    assert found.as_dict() == score_tiles(network, drawn).as_dict()
    assert found.as_dict() != score_tiles(network, [fact.tile for fact in facts]).as_dict()


def test_ranks_share_the_tiles_and_count_what_one_process_does(network, synthetic, masks) -> None:
    tiles = find_tiles(synthetic, "train")[:5]

    class OneOfTwo(World):
        def share(self, tensors: list[Tensor]) -> None:
            pass

        def sum(self, counts: np.ndarray) -> np.ndarray:
            return counts

    parts = [validate(network, tiles, masks, OneOfTwo(r, 2, ALONE.device)) for r in (0, 1)]
    assert (parts[0] + parts[1]).as_dict() == score_tiles(network, tiles).as_dict()


def test_the_training_precision_is_what_is_validated_in(network, synthetic, masks) -> None:
    tiles = find_tiles(synthetic, "test")
    counts = Counts()
    for tile in tiles:
        with torch.autocast("cpu", torch.bfloat16):
            damage = predict_maps(network, *tile.images())[0]
        counts.add(damage, damage, *tile.targets(*damage.shape))
    found = validate(network, tiles, masks, ALONE, torch.bfloat16)
    assert found.as_dict() == counts.as_dict()
    assert found.as_dict() != score_tiles(network, tiles).as_dict()


class _Odd(nn.Module):
    """The network, with something wrong in what it gives."""

    def __init__(self, network: DualHRNet, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.config, self.change = network, network.config, change

    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
        building, damage = self.network(pre, post)
        return self.change(building), damage


def test_a_pair_that_overflows_in_lower_precision_is_computed_in_full(
    network, synthetic, masks
) -> None:
    def overflow(logits: Tensor) -> Tensor:
        return logits * (float("nan") if torch.is_autocast_enabled("cpu") else 1)

    tiles = find_tiles(synthetic, "test")
    found = validate(_Odd(network, overflow), tiles, masks, ALONE, torch.bfloat16)
    assert found.as_dict() == score_tiles(network, tiles).as_dict()
    broken = _Odd(network, lambda logits: logits * float("nan"))
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        validate(broken, tiles, masks, ALONE, torch.bfloat16)


def test_a_gpu_that_is_too_small_is_said_in_one_line(network, synthetic, masks) -> None:
    def full(logits: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 4 GiB")

    tiles = find_tiles(synthetic, "test")
    with pytest.raises(ToolkitError, match=r"memory does not hold a pair of 96x96; .*--device cpu"):
        validate(_Odd(network, full), tiles, masks, ALONE)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4)), min_size=1, max_size=60),
    st.integers(1, 70),
)
def test_every_disaster_and_class_is_drawn_in_proportion(kinds, count) -> None:
    # Every tile shows all classes, so that none can be absent; the rarest is the tile's own.
    facts = [_facts(place, f"{i:02}", 1, 2, 3, 4) for i, (place, _) in enumerate(kinds)]
    for fact, (_, least) in zip(facts, kinds, strict=True):
        fact.pixels[1:] = 100
        fact.pixels[max(least, 1)] = 1
    drawn = drawn_evenly(facts, count)
    assert drawn == drawn_evenly(list(facts), count)
    assert [f.tile.name for f in drawn] == [f.tile.name for f in facts if f in drawn]
    assert len(drawn) == min(count, len(facts))
    share = len(drawn) / len(facts)
    of = Counter(fact.tile.disaster for fact in facts)
    for place, there in Counter(fact.tile.disaster for fact in drawn).items():
        assert abs(there - share * of[place]) <= 1


def test_no_number_draws_all() -> None:
    facts = [_facts("a", str(i), 1) for i in range(3)]
    assert drawn_evenly(facts, None) == facts


def test_a_subset_without_a_class_of_the_split_is_refused() -> None:
    facts = [_facts("a", str(i), 1, 2, 3) for i in range(9)] + [_facts("a", "x", 4)]
    with pytest.raises(ConfigError, match=r"validation\.tiles=2: no tile .* shows destroyed, "):
        drawn_evenly(facts, 2)
    assert any(fact.pixels[4] for fact in drawn_evenly(facts, 9))
    # A class that the split does not have is no fault of the subset.
    assert len(drawn_evenly(facts[:9], 2)) == 2


def test_what_was_counted_on_is_exact_only_for_all_in_fp32() -> None:
    assert Scored(tiles=3, of=3, precision="fp32").exact
    assert not Scored(tiles=2, of=3, precision="fp32").exact
    assert not Scored(tiles=3, of=3, precision="bf16").exact
    assert str(Scored(tiles=2, of=3, precision="bf16")) == "2 of 3 tiles in bf16"


def test_loading_ahead_keeps_the_order_and_does_not_run_away() -> None:
    begun, lock = [], threading.Lock()

    def load(item: int) -> int:
        with lock:
            begun.append(item)
        return item * item

    for index, found in enumerate(ahead(load, range(20), threads=2)):
        assert found == index * index
        assert len(begun) <= index + 3
    assert sorted(begun) == list(range(20))


def test_an_error_of_loading_comes_in_its_place() -> None:
    def load(item: int) -> int:
        if item == 2:
            raise ValueError("item 2")
        return item

    found = []
    with pytest.raises(ValueError, match="item 2"):
        found.extend(ahead(load, range(5)))  # those before it are not lost
    assert found in ([], [0, 1])
    coming = ahead(load, range(5))
    assert [next(coming), next(coming)] == [0, 1]
    with pytest.raises(ValueError, match="item 2"):
        next(coming)

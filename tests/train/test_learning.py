"""What a network learns from the synthetic data: to compare the pair, not to guess from one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from runtime.score import Counts
from train.checkpoint import load_checkpoint
from train.inference import predict_maps
from train.model import DualHRNet
from train.xbd import Tile, find_tiles

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def learnt(
    tmp_path_factory: pytest.TempPathFactory, command: Callable
) -> tuple[DualHRNet, list[Tile]]:
    """A network after a good minute of training, and tiles that it has not seen."""
    folder = tmp_path_factory.mktemp("learning")
    data, run = folder / "data", folder / "run"
    for line in (
        ("train.synthesize", "--out", data, "--tiles", 160, "--size", 256, "--seed", 5),
        ("train", "--config", "train/configs/demo.yaml", "--data", data, "--out", run,
         "schedule=[{epochs: 1, rate: [1.0e-5, 3.0e-3], augment: light}, "
         "{epochs: 7, rate: [3.0e-3, 1.0e-5], shape: cosine, augment: light}]"),
    ):  # fmt: skip
        result = command(*line)
        assert result.returncode == 0, result.stderr
    return load_checkpoint(run / "best.pt").network(), find_tiles(data, "test")


def _counts(network: DualHRNet, tiles: list[Tile], *, swapped: bool) -> Counts:
    counts = Counts()
    for tile in tiles:
        pre, post = tile.images()
        images = (post, pre) if swapped else (pre, post)
        damage, _, _ = predict_maps(network, *images)
        counts.add(damage, damage, *tile.targets(*damage.shape))
    return counts


def test_it_learns_and_does_clearly_worse_when_the_pair_is_swapped(learnt) -> None:
    right, swapped = (_counts(*learnt, swapped=swapped) for swapped in (False, True))
    assert right.localization_f1 > 0.6
    assert right.score > 0.3
    assert swapped.score < right.score - 0.1


def test_the_same_image_twice_is_no_damage(learnt) -> None:
    network, tiles = learnt
    labels = np.zeros(5, np.int64)
    for tile in tiles:
        pre, _ = tile.images()
        labels += np.bincount(predict_maps(network, pre, pre)[0].ravel(), minlength=5)
    assert labels[1] > 0.75 * labels[1:].sum() > 0

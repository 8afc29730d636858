"""Pairs for parity are those on which the network shows every class."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from export import parity_pairs as chosen
from export.parity_pairs import Candidate, content, described, parity_pairs, scenes, windows
from runtime.errors import DataError

SIDE = 64


def _pair(labels: dict[int, int], labelled: bool = False) -> Candidate:
    """A pair whose red channel holds that many pixels of each label, which `reading` predicts."""
    flat = np.zeros(SIDE * SIDE, np.uint8)
    start = 0
    for value, count in labels.items():
        flat[start : start + count] = value
        start += count
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[..., 0] = flat.reshape(SIDE, SIDE)
    counts = np.bincount(flat if labelled else flat[:0], minlength=5)
    return Candidate(image, image, "here", counts)


def reading(pre: np.ndarray, post: np.ndarray) -> tuple[np.ndarray, ...]:
    return pre[..., 0], pre[..., 1], pre[..., 2]


def test_a_pair_without_buildings_is_passed_over() -> None:
    empty, full = _pair({}), _pair({1: 600, 2: 600, 3: 600, 4: 600})
    (only,) = parity_pairs(reading, [empty, empty, full], iter([]), 1)
    assert only.pre is full.pre
    assert content([only]) == {
        "background": SIDE * SIDE - 2400, "no-damage": 600, "minor-damage": 600,
        "major-damage": 600, "destroyed": 600,
    }  # fmt: skip


def test_as_many_pairs_are_kept_as_show_every_class() -> None:
    found = [_pair({value: 600}) for value in (1, 1, 2, 3, 4)]
    kept = parity_pairs(reading, found, iter([]), 1)
    assert [int(each.pre.max()) for each in kept] == [1, 2, 3, 4]


def test_scenes_are_looked_at_only_where_the_data_leave_a_class_out() -> None:
    looked: list[int] = []

    def spare() -> Iterator[Candidate]:
        for index in range(3):
            looked.append(index)
            yield _pair({4: 600})

    whole = [_pair({1: 600, 2: 600, 3: 600, 4: 600})]
    parity_pairs(reading, whole, spare(), 1)
    assert looked == []
    without = [_pair({1: 600, 2: 600, 3: 600})]
    kept = parity_pairs(reading, without, spare(), 1)
    assert content(kept)["destroyed"] == 600


def test_windows_with_rare_classes_come_first(synthetic: Path) -> None:
    """The first windows by name need not show them: the labels say which do."""
    found = windows(synthetic, "train", 32, 32)
    by_labels = np.array([each.labelled[1:] for each in found])
    few = np.minimum(by_labels[:4].sum(0), chosen.ENOUGH)
    first_by_name = np.minimum(np.array(_all_windows(synthetic)[:4])[:, 1:].sum(0), chosen.ENOUGH)
    assert few.sum() > first_by_name.sum()
    assert len(found) == chosen.WINDOWS


def _all_windows(data: Path) -> list[np.ndarray]:
    from train.xbd import find_tiles

    counts = []
    for tile in find_tiles(data, "train"):
        damage = tile.targets(96, 96)[1]
        for top in range(0, 96, 32):
            for left in range(0, 96, 32):
                part = damage[top : top + 32, left : left + 32]
                counts.append(np.bincount(part.ravel(), minlength=256)[:5])
    return counts


def test_windows_have_the_engines_size(synthetic: Path, tmp_path: Path) -> None:
    found = windows(synthetic, "test", 64, 96)
    assert {each.pre.shape for each in found} == {(64, 96, 3)}
    with pytest.raises(DataError, match="no tile of split test is 64x128 or larger"):
        windows(synthetic, "test", 64, 128)  # tiles are 96x96
    assert len(windows(synthetic, "train", 32, 32, 20)) == 20  # as many as are asked for
    bare = shutil.copytree(synthetic, tmp_path / "bare")
    shutil.rmtree(bare / "test" / "labels")
    assert len(windows(bare, "test", 64, 96)) == len(found)  # without labels, too


def test_scenes_show_every_class_to_a_network_that_knows_them(plausible: Callable) -> None:
    from export.deploy import DeployOptions
    from export.runners import fp32_runner

    options = DeployOptions(64, 96)
    run = fp32_runner(plausible(), options)
    pairs = parity_pairs(run, [], scenes(64, 96), 1)
    assert min(content(pairs).values()) >= 64
    assert described(pairs) == f"{len(pairs)} of synthetic scenes (seed 20260)"
    again = parity_pairs(run, [], scenes(64, 96), 1)
    assert all((a.pre == b.pre).all() for a, b in zip(pairs, again, strict=True))


def test_real_tiles_without_buildings_are_passed_over(xbd_sample: Path) -> None:
    """Of tier3's three tiles the first two by name show 0.25 % and 0 % buildings."""
    first = windows(xbd_sample, "tier3", 512, 512)[0]
    assert first.labelled[1:].sum() > 0.02 * 512 * 512
    assert np.count_nonzero(first.labelled[1:]) >= 3

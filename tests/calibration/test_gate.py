"""The accuracy gate: what it compares, and that a lost class cannot hide in a mean."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from calibration.gate import Limits, Reference
from calibration.scenes import Scene, cut_scenes
from runtime.errors import DataError
from runtime.score import Counts
from train.xbd import find_tiles

SIDE = 32


@pytest.fixture
def scenes() -> list[Scene]:
    random = np.random.default_rng(0)
    found = []
    for index in range(3):
        images = random.integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
        damage = random.integers(0, 5, (SIDE, SIDE)).astype(np.uint8)
        found.append(Scene(str(index), *images, (damage > 0).astype(np.uint8), damage))
    return found


def _answers(scenes: list[Scene], change=lambda damage: damage, seed: int = 1):
    """A runner that gives the truth, changed; its confidences are random."""
    by_image = {scene.pre.tobytes(): scene for scene in scenes}
    random = np.random.default_rng(seed)
    confidences = {key: random.integers(0, 256, (SIDE, SIDE), np.uint8) for key in by_image}

    def run(pre: np.ndarray, _: np.ndarray):
        damage = change(by_image[pre.tobytes()].damage.copy())
        return damage, (damage > 0).astype(np.uint8) * 255, confidences[pre.tobytes()]

    return run


def test_the_same_maps_lose_nothing(scenes) -> None:
    found = Reference(_answers(scenes), scenes).compare(_answers(scenes))
    assert set(found.losses.values()) == {0.0}
    assert (found.label_agreement, found.confidence_shift) == (1.0, 0.0)
    assert found.broken(Limits(0, 0)) == []


def test_losses_are_differences_of_official_figures(scenes) -> None:
    def worse(damage: np.ndarray) -> np.ndarray:
        damage[:4][damage[:4] == 2] = 3
        damage[-2:] = 0
        return damage

    found = Reference(_answers(scenes), scenes).compare(_answers(scenes, worse))
    counts = Counts()
    agreeing = []
    for scene in scenes:
        damage = worse(scene.damage.copy())
        counts.add(damage, damage, scene.building, scene.damage)
        agreeing.append(np.mean(damage == scene.damage))
    assert found.losses["score"] == pytest.approx(1 - counts.score, abs=1e-5)
    assert found.losses["localization"] == pytest.approx(1 - counts.localization_f1)
    assert found.losses["minor-damage"] == pytest.approx(1 - counts.class_f1[1])
    assert found.label_agreement == pytest.approx(np.mean(agreeing))


def test_a_lost_class_breaks_the_gate_whatever_the_score_limit(scenes) -> None:
    def blind(damage: np.ndarray) -> np.ndarray:
        damage[damage == 3] = 4
        return damage

    found = Reference(_answers(scenes), scenes).compare(_answers(scenes, blind))
    (first, *_) = found.broken(Limits(score=1.0, class_f1=0.01))
    assert first.startswith("the F1 of major-damage loses 1.0000 (limit 0.01)")


def test_a_gain_is_no_failure(scenes) -> None:
    def half(damage: np.ndarray) -> np.ndarray:
        damage[: SIDE // 2] = 1
        return damage

    found = Reference(_answers(scenes, half), scenes).compare(_answers(scenes))
    assert found.losses["score"] < 0
    assert found.broken(Limits()) == []


def test_the_confidence_shift_is_the_wasserstein_distance(scenes) -> None:
    one, other = _answers(scenes, seed=1), _answers(scenes, seed=2)
    shifted = Reference(one, scenes).compare(other).confidence_shift
    values = [
        np.concatenate([run(s.pre, s.post)[2].ravel() for s in scenes]) / 255
        for run in (one, other)
    ]
    assert shifted == pytest.approx(wasserstein_distance(*values), abs=1e-9)


def test_scenes_are_whole_windows_with_their_targets(synthetic) -> None:
    tiles = find_tiles(synthetic, "test")
    scenes = cut_scenes(tiles, 32, 64)
    assert len(scenes) == len(tiles) * 3  # 96x96: three rows of one window
    building, damage = tiles[0].targets(96, 96)
    assert np.array_equal(scenes[1].building, building[32:64, :64])
    assert np.array_equal(scenes[1].damage, damage[32:64, :64])
    assert np.array_equal(scenes[1].pre, tiles[0].images()[0][32:64, :64])
    with pytest.raises(DataError, match="no labelled tile is 128x128 or larger"):
        cut_scenes(tiles, 128, 128)

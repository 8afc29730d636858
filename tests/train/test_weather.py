"""Haze and cloud shadows against the laws that they follow."""

from __future__ import annotations

import albumentations as A
import numpy as np
import pytest

from train.conditions import WeatherLevel
from train.weather import AIRLIGHT, weather


def _images(level: WeatherLevel, image: np.ndarray, draws: int) -> np.ndarray:
    changes = A.Compose(weather(level))
    changes.set_random_seed(1)
    return np.stack([changes(image=image)["image"] for _ in range(draws)])


@pytest.mark.parametrize("value", [0, 100, AIRLIGHT, 255])
def test_haze_moves_a_value_towards_the_airlight_by_a_quarter_of_the_most(value: int) -> None:
    """A strength drawn from 0..most (mean most / 2) times a field of mean 1/2."""
    flat = np.full((16, 24, 3), value, np.uint8)
    seen = _images(WeatherLevel(chance=1, haze=0.8), flat, 600).astype(float)
    assert seen.mean() == pytest.approx(value + (AIRLIGHT - value) * 0.2, abs=4)
    low, high = sorted((value, value + (AIRLIGHT - value) * 0.8))
    assert low - 0.5 <= seen.min()
    assert seen.max() <= high + 0.5


def test_haze_takes_contrast_in_the_share_that_it_adds_light() -> None:
    """Two ground values g under one share s: g (1 - s) + A s, so s follows from their sum."""
    image = np.zeros((32, 32, 3), np.uint8)
    image[::2] = 200
    (seen,) = _images(WeatherLevel(chance=1, haze=0.9), image, 1).astype(float)
    dark, light = seen[1:-1:2], (seen[0:-2:2] + seen[2::2]) / 2
    share = dark / AIRLIGHT
    assert share.max() > 0.1
    assert np.abs((light - dark) - 200 * (1 - share)).max() < 5  # rounding, and half a row's slope


def test_a_shadow_takes_light_up_to_the_depth_and_adds_none() -> None:
    flat = np.full((48, 48, 3), 200, np.uint8)
    seen = _images(WeatherLevel(chance=1, shadow=0.6), flat, 300)
    assert seen.max() == 200
    assert 200 * 0.4 - 0.5 <= seen.min() < 200 * 0.45
    assert 0.2 < (seen == 200).mean() < 0.8  # clouds, not an overcast
    depth = 1 - seen.min((1, 2, 3)) / 200  # even over 0..0.6 where a cloud is whole
    assert depth.mean() == pytest.approx(0.3, abs=0.06)


def test_a_shadow_has_no_edge_as_buildings_have() -> None:
    flat = np.full((192, 192, 3), 255, np.uint8)
    seen = _images(WeatherLevel(chance=1, shadow=0.9), flat, 100).astype(int)
    steps = np.abs(np.diff(seen, axis=2)).max()
    assert 0 < steps < 0.15 * 255  # a polygon's edge would be a step of 0.9


def test_changes_happen_as_often_as_asked() -> None:
    flat = np.full((16, 16, 3), 90, np.uint8)
    seen = _images(WeatherLevel(chance=0.3, haze=0.5), flat, 1000)
    changed = (seen != flat).any((1, 2, 3)).sum()
    assert abs(changed - 300) < 5 * np.sqrt(1000 * 0.3 * 0.7)

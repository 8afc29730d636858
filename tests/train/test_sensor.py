"""Each change of a sensor against its closed form."""

from __future__ import annotations

import io

import albumentations as A
import numpy as np
import pytest
from PIL import Image
from scipy.special import ndtr

from train.conditions import SensorLevel
from train.sensor import noise, optics, processing


def _images(image: np.ndarray, draws: int = 1, **named: object) -> np.ndarray:
    level = SensorLevel(**{"chance": 1, **named})
    changes = A.Compose([*optics(level), *noise(level), *processing(level)])
    changes.set_random_seed(3)
    return np.stack([changes(image=image)["image"] for _ in range(draws)]).astype(float)


def _flat(value: int, side: int = 32) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


def _photograph(side: int = 64) -> np.ndarray:
    random = np.random.default_rng(0)
    small = random.integers(30, 220, (side // 8, side // 8, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))


def test_half_the_light_is_as_likely_as_twice_the_light() -> None:
    factors = _images(_flat(100), 500, gain=(0.5, 2.0))[:, 0, 0, 0] / 100
    stops = np.log2(factors)
    assert stops.mean() == pytest.approx(0, abs=4 * 2 / np.sqrt(12 * 500))
    assert np.mean(np.abs(stops) < 0.5) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(500))
    assert 0.49 <= factors.min() < 0.53
    assert 1.9 < factors.max() <= 2
    assert (_images(_flat(0), 5, gain=(0.5, 1.7)) == 0).all()  # black ground stays black


@pytest.mark.parametrize("factor", [0.6, 1.4])
def test_gain_multiplies_and_saturates(factor: float) -> None:
    (seen,) = _images(_photograph(), gain=(factor, factor))
    assert np.abs(seen - np.minimum(_photograph() * factor, 255)).max() <= 1


@pytest.mark.parametrize("factor", [0.4, 1.5])
def test_contrast_is_the_distance_to_the_mean_grey(factor: float) -> None:
    image = _photograph()
    grey = (image @ [0.299, 0.587, 0.114]).mean()
    (seen,) = _images(image, contrast=(factor, factor))
    assert np.abs(seen - np.clip(grey + factor * (image - grey), 0, 255)).max() <= 1.6


@pytest.mark.parametrize("power", [0.5, 2])
def test_gamma_is_a_power_of_the_share_of_full_scale(power: float) -> None:
    image = _photograph()
    (seen,) = _images(image, gamma=(power, power))
    assert np.abs(seen - 255 * (image / 255) ** power).max() <= 1


@pytest.mark.parametrize("sigma", [0.6, 1, 2.5])
def test_a_blurred_step_is_the_normal_distribution(sigma: float) -> None:
    step = np.zeros((16, 64, 3), np.uint8)
    step[:, 32:] = 200
    (seen,) = _images(step, blur=(sigma, sigma))
    # A pixel holds the mean of the blurred step; the kernel is sampled at whole pixels.
    expected = 200 * ndtr((np.arange(64) - 31.5) / sigma)
    assert np.abs(seen[8, :, 1] - expected).max() < 7
    assert np.abs(seen - seen[8]).max() == 0


@pytest.mark.parametrize("ratio", [2, 3, 4])
def test_a_coarser_sensor_has_its_cutoff(ratio: float) -> None:
    """Waves beyond half a cycle a coarse pixel go, long ones stay."""
    across = np.arange(192)

    def left(period: float) -> float:
        wave = 128 + 100 * np.cos(2 * np.pi * across / period + 0.3)
        image = np.repeat(np.tile(np.uint8(wave), (192, 1))[..., None], 3, 2)
        (seen,) = _images(image, resolution=(ratio, ratio))
        return seen[96, :, 0].std() / image[96, :, 0].std()

    assert left(12 * ratio) > 0.9
    assert left(ratio) < 0.25  # a whole wave in one pixel
    assert left(1.3 * ratio) < 0.5


@pytest.mark.parametrize("ratio", [1, 1.7, 3.3])
def test_a_coarser_sensor_sees_things_where_they_are(ratio: float) -> None:
    for place in (20, 96, 171):
        step = np.zeros((192, 192, 3), np.uint8)
        step[:, place:] = 200
        (seen,) = _images(step, resolution=(ratio, ratio))
        assert 192 - seen[96, :, 0].sum() / 200 == pytest.approx(place, abs=ratio / 2)


def test_noise_has_its_deviation_and_no_mean() -> None:
    added = _images(_flat(128), 40, noise=(0.04, 0.04)) - 128
    assert added.std() == pytest.approx(0.04 * 255, abs=0.5)  # whole numbers
    assert abs(added.mean()) < 0.1


@pytest.mark.parametrize("quality", [15, 50, 90])
def test_jpeg_is_pillows(quality: int) -> None:
    image, content = _photograph(), io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=quality, subsampling="4:2:0")
    expected = np.asarray(Image.open(content)).astype(float)
    (seen,) = _images(image, jpeg=(quality, quality))
    assert np.abs(seen - expected).mean() < 0.5
    assert np.abs(image - expected).mean() > 1


@pytest.mark.parametrize(
    ("named", "bound"),
    [
        ({"gain": (1, 1)}, 0),
        ({"contrast": (1, 1)}, 0),
        ({"gamma": (1, 1)}, 1),
        ({"blur": (0.1, 0.1)}, 0),
        ({"resolution": (1, 1)}, 0),
        ({"noise": (0, 0)}, 0),
    ],
)
def test_no_strength_is_no_change(named: dict, bound: int) -> None:
    (seen,) = _images(_photograph(), **named)
    assert np.abs(seen - _photograph()).max() <= bound

"""Augmentation: the truth stays true, and all chance comes from the generator given."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.augment import PairAugmentation
from train.levels import AugmentLevel

REPOSITORY = Path(__file__).parents[2]
NOTHING = {"photometry": 0, "colour": 0, "degrade": 0, "shift": 0, "geometry": False}


def _level(**changes: object) -> AugmentLevel:
    return AugmentLevel(**{**NOTHING, **changes})


def _sample(side: int = 64) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    image = random.integers(0, 255, (side, side, 3), np.uint8)
    building, damage = random.integers(0, 5, (2, side, side), np.uint8)
    return {"pre": image, "post": image.copy(), "building": building, "damage": damage}


def _apply(level: AugmentLevel, sample: dict, seed: int = 0) -> dict[str, np.ndarray]:
    return PairAugmentation(level)(sample, np.random.default_rng(seed))


def test_a_level_of_nothing_changes_nothing() -> None:
    out = _apply(_level(), _sample())
    for name, array in _sample().items():
        assert np.array_equal(out[name], array)


def test_geometry_is_shared_by_images_and_targets() -> None:
    marker = np.zeros((64, 64), np.uint8)
    marker[5:9, 10:30] = 4
    marker[20:24, 10:14] = 2
    image = np.repeat(marker[..., None] * 50, 3, 2)
    augment = PairAugmentation(_level(geometry=True))
    seen = set()
    for seed in range(60):
        sample = {"pre": image, "post": image, "building": marker, "damage": marker}
        out = augment(sample, np.random.default_rng(seed))
        assert np.array_equal(out["pre"], out["post"])
        assert np.array_equal(out["damage"], out["building"])
        assert np.array_equal(out["pre"][..., 0] // 50, out["damage"])
        seen.add(out["damage"].tobytes())
    turned = [np.rot90(flipped, k) for flipped in (marker, marker[::-1]) for k in range(4)]
    assert seen == {np.ascontiguousarray(each).tobytes() for each in turned}


def test_shift_moves_the_post_image_alone() -> None:
    augment, sample = PairAugmentation(_level(shift=3)), _sample()
    framed = np.pad(sample["post"], ((3, 3), (3, 3), (0, 0)), "reflect")
    seen = set()
    for seed in range(300):
        out = augment(sample, np.random.default_rng(seed))
        for name in ("pre", "building", "damage"):
            assert np.array_equal(out[name], sample[name])
        (move,) = [
            (dy, dx)
            for dy in range(7)
            for dx in range(7)
            if np.array_equal(framed[dy : dy + 64, dx : dx + 64], out["post"])
        ]
        seen.add(move)
    assert {dy for dy, _ in seen} == {dx for _, dx in seen} == set(range(7))


@pytest.mark.parametrize("change", [{"photometry": 0.2}, {"colour": 0.2}, {"degrade": 1.0}])
def test_photometry_is_drawn_for_each_image_alone(change: dict) -> None:
    differing = 0
    for seed in range(20):
        out = _apply(_level(**change), _sample(), seed)
        assert np.array_equal(out["building"], _sample()["building"])
        differing += not np.array_equal(out["pre"], out["post"])
    assert differing >= 15  # each image is left as it is with a chance of 0.2 at most


def test_colour_keeps_the_brightest_channel_near_its_value() -> None:
    # Hue and saturation leave V of HSV, the largest channel, where it was (rounding aside).
    for seed in range(10):
        out = _apply(_level(colour=0.3), _sample(), seed)
        for name in ("pre", "post"):
            moved = out[name].max(2).astype(int) - _sample()[name].max(2)
            assert abs(moved).max() <= 2


def test_degrading_happens_as_often_as_asked() -> None:
    changed = sum(
        not np.array_equal(_apply(_level(degrade=0.3), _sample(8), seed)["pre"], _sample(8)["pre"])
        for seed in range(400)
    )
    assert abs(changed - 120) < 5 * np.sqrt(400 * 0.3 * 0.7)


SENSOR = {"gain": (0.5, 2), "blur": (0.3, 2), "noise": (0.01, 0.1), "jpeg": (20, 80)}
WEATHER = {"chance": 1, "haze": 0.8, "shadow": 0.8}


def test_what_is_off_draws_nothing() -> None:
    """So a level from before these options gives the same bytes with them."""
    random, expected = np.random.default_rng(5), np.random.default_rng(5)
    augment = PairAugmentation(_level(photometry=0.1, shift=3, geometry=True))
    augment(_sample(), random)
    expected.integers(-3, 4, 2)
    expected.integers(2**31, size=3)  # geometry, and each image's photometry
    assert random.bit_generator.state == expected.bit_generator.state


@pytest.mark.parametrize("changes", [{"weather": WEATHER}, {"sensor": {"chance": 1, **SENSOR}}])
def test_weather_and_sensor_change_both_images_and_leave_the_truth(changes: dict) -> None:
    out = _apply(_level(**changes), _sample())
    for name in ("building", "damage"):
        assert np.array_equal(out[name], _sample()[name])
    for name in ("pre", "post"):
        assert not np.array_equal(out[name], _sample()[name])
    assert not np.array_equal(out["pre"], out["post"])


def test_one_sensor_may_take_both_images() -> None:
    without_noise = {name: SENSOR[name] for name in ("gain", "blur", "jpeg")}

    def equal(shared: float, **named: object) -> int:
        level = _level(sensor={"chance": 1, "shared": shared, **named})
        outs = [_apply(level, _sample(16), seed) for seed in range(100)]
        return sum(np.array_equal(out["pre"], out["post"]) for out in outs)

    assert equal(0, **without_noise) == 0
    assert equal(1, **without_noise) == 100
    assert 25 < equal(0.5, **without_noise) < 75
    assert equal(1, **SENSOR) == 0  # noise is of the image, not of the sensor


def test_off_nadir_shears_the_post_image_about_its_centre_and_moves_no_truth() -> None:
    """A dot at (x, y) from the centre goes to (x + y tan a, y + x tan b)."""
    sample = _sample(129)
    augment = PairAugmentation(_level(off_nadir=5))
    sample["post"] = np.zeros((129, 129, 3), np.uint8)
    places = [(-40, 0), (40, 0), (0, -40), (0, 40), (0, 0)]  # x, y
    for x, y in places:
        sample["post"][64 + y - 1 : 64 + y + 2, 64 + x - 1 : 64 + x + 2] = 255
    slopes = []
    for seed in range(60):
        out = augment(sample, np.random.default_rng(seed))
        for name in ("pre", "building", "damage"):
            assert np.array_equal(out[name], sample[name])
        found = [_centre(out["post"][..., 0], 64 + x, 64 + y) for x, y in places]
        (wx, wy), (ex, ey), (nx, ny), (sx, sy), middle = found
        assert middle == pytest.approx((64, 64), abs=0.1)
        across, down = (sx - nx) / 80, (ey - wy) / 80
        assert (ex - wx, sy - ny) == pytest.approx((80, 80), abs=0.2)
        slopes += [across, down]
    limit = np.tan(np.radians(5))
    assert 0.8 * limit < max(slopes) < 1.02 * limit
    assert -1.02 * limit < min(slopes) < -0.8 * limit


def _centre(image: np.ndarray, x: int, y: int) -> tuple[float, float]:
    """(x, y) of the light within 8 pixels of a place."""
    part = image[y - 8 : y + 9, x - 8 : x + 9].astype(float)
    rows, columns = np.mgrid[y - 8 : y + 9, x - 8 : x + 9]
    return (columns * part).sum() / part.sum(), (rows * part).sum() / part.sum()


@settings(max_examples=40, deadline=None)
@given(
    geometry=st.booleans(),
    photometry=st.floats(0, 1),
    colour=st.floats(0, 0.5),
    degrade=st.floats(0, 1),
    shift=st.integers(0, 5),
    off_nadir=st.floats(0, 5),
    weather=st.sampled_from([{}, WEATHER]),
    sensor=st.sampled_from([{}, SENSOR, {**SENSOR, "shared": 1, "resolution": (1, 3)}]),
    seed=st.integers(0, 2**32),
)
def test_any_level_keeps_the_truth_and_its_input(seed: int, **options) -> None:
    level, sample = AugmentLevel(**options), _sample(32)
    out = _apply(level, sample, seed)
    for name, array in _sample(32).items():
        assert np.array_equal(sample[name], array), "the input was written to"
        assert (out[name].shape, out[name].dtype) == (array.shape, np.uint8)
    for name in ("building", "damage"):  # flips and turns move pixels, they make none
        assert np.array_equal(np.bincount(out[name].ravel()), np.bincount(sample[name].ravel()))
    again = _apply(level, sample, seed)
    assert all(np.array_equal(out[name], again[name]) for name in out)


def test_augmentation_never_calls_home() -> None:
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise SystemExit('network was asked for')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "import train.sensor, train.weather, train.augment\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


@pytest.mark.parametrize(
    "change",
    [
        {"off_nadir": 3},
        {"weather": {"chance": 1, "haze": 0.5}},
        {"weather": {"chance": 1, "shadow": 0.5}},
        {"sensor": {"chance": 1, "blur": (1, 1.5)}},
        {"sensor": {"chance": 1, "resolution": (1, 2)}},
        {"sensor": {"chance": 1, "noise": (0.01, 0.05)}},
        {"sensor": {"chance": 1, "jpeg": (25, 90)}},
    ],
    ids=str,
)
def test_a_change_costs_little_of_a_pair_s_training(change: dict) -> None:
    """0.5 to 2 ms of processor time were measured for a pair of 192 pixels; some 70 ms are
    spent on training with it, by a very small network on the fastest processors."""
    augment, sample = PairAugmentation(_level(**change)), _sample(192)
    random = np.random.default_rng(0)
    augment(sample, random)
    start = time.process_time()
    for _ in range(10):
        augment(sample, random)
    assert time.process_time() - start < 10 * 0.015

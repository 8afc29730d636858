"""Shifts that were planted are found; where there is nothing to be found, nothing is."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.errors import ImageError
from runtime.source.field import STEPS, Field, agreeing, fitted
from runtime.source.shift import measure, survey
from tests.runtime.source.planted import (
    destroyed,
    even,
    hills,
    moved,
    picture,
    texture,
    turned,
)

SIDE = 640


@pytest.fixture(scope="module")
def ground():
    return texture(0, SIDE, SIDE)


def off(field: Field, truth) -> np.ndarray:
    """Pixels, at each pixel."""
    found = field.window(0, 0, field.height, field.width)
    return np.hypot(*(each / STEPS - one for each, one in zip(found, truth, strict=True)))


@pytest.mark.parametrize(
    "truth",
    [
        even(SIDE, SIDE, 3.3, -2.7),
        even(SIDE, SIDE, 8, 16),
        even(SIDE, SIDE, -40, 25),
        turned(SIDE, 1.0),
        hills(SIDE, 20),
    ],
    ids=["3.3 -2.7", "8 16", "-40 25", "1 degree", "hills of 20"],
)
def test_a_planted_field_is_found_though_a_third_is_destroyed(ground, truth):
    after = destroyed(moved(ground, *truth), 0.3)
    found = measure(picture(ground), picture(after))
    errors = off(found.field, truth)
    assert np.median(errors) < 0.5
    assert np.percentile(errors, 95) < 3
    assert found.after > found.before


@settings(max_examples=8, deadline=None)
@given(st.floats(-30, 30), st.floats(-30, 30))
def test_the_survey_finds_any_shift(ground, down, across):
    after = moved(ground, *even(SIDE, SIDE, down, across))
    found = survey(picture(ground), picture(after))
    np.testing.assert_allclose(np.median(found.shifts, axis=0), (down, across), atol=0.3)


def test_the_same_image_lies_on_itself(ground):
    found = measure(picture(ground), picture(ground))
    assert found.lengths.max() < 0.1
    assert found.before == pytest.approx(1, abs=0.02)


def test_it_is_the_same_every_time(ground):
    after = destroyed(moved(ground, *hills(SIDE, 10)), 0.3)
    first, second = (measure(picture(ground), picture(after)) for _ in range(2))
    np.testing.assert_array_equal(first.field.nodes, second.field.nodes)


@pytest.mark.parametrize("how", [survey, measure])
def test_where_nothing_can_be_matched_nothing_is_told(ground, how):
    even_ground = np.full_like(ground, 90)
    noise = np.random.default_rng(0).normal(0, 2, ground.shape)
    sand = np.clip(even_ground + noise, 0, 255).astype(np.uint8)
    for after in (texture(50, SIDE, SIDE), even_ground, sand):
        assert how(picture(ground), picture(after)).field is None
    assert how(picture(sand), picture(np.roll(sand[::-1], 9, 0))).field is None
    nothing = picture(ground, np.zeros((SIDE, SIDE), bool))
    assert how(picture(ground), nothing).field is None


@pytest.mark.parametrize("size", [(1, 1), (32, 32), (1, 900), (900, 1), (63, 300), (64, 64)])
def test_small_images_are_not_measured_or_lie_on_themselves(size):
    ground = texture(1, *size)
    found = measure(picture(ground), picture(ground))
    assert found.field is None or np.abs(found.field.nodes).max() < 0.1


def test_what_is_not_known_does_not_count(ground):
    """The same collar in both would say that they lie on each other."""
    after = moved(ground, *even(SIDE, SIDE, 6, -9))
    known = np.ones((SIDE, SIDE), bool)
    known[:, :200] = known[300:350] = False
    before, collared = ground.copy(), after.copy()
    before[~known] = collared[~known] = 0
    found = survey(picture(before, known), picture(collared, known))
    np.testing.assert_allclose(np.median(found.shifts, axis=0), (6, -9), atol=0.3)
    assert np.percentile(found.lengths, 5) > 8


def test_a_part_that_cannot_be_read_is_not_measured(ground):
    after = picture(moved(ground, *even(SIDE, SIDE, 6, -9)))

    @dataclasses.dataclass(frozen=True, eq=False)
    class Damaged(type(after)):
        def look(self, top, left, height, width):
            if top + height > 400:
                raise ImageError("x.png: cannot be read there")
            return super().look(top, left, height, width)

    values = {each.name: getattr(after, each.name) for each in dataclasses.fields(after)}
    found = measure(picture(ground), Damaged(**values))
    assert found.points[:, 0].max() < 400
    assert np.median(off(found.field, even(SIDE, SIDE, 6, -9))) < 0.3


def test_cost_is_bounded_by_blocks_not_by_the_scene():
    """A scene of 10^10 pixels without a file: what is looked at is counted."""
    ground = texture(2, 512, 512)

    class Huge:
        height = width = 100_000
        looks = pixels = 0

        def look(self, top, left, height, width):
            Huge.looks += 1
            Huge.pixels += height * width
            rows, columns = np.arange(top, top + height), np.arange(left, left + width)
            return ground[rows[:, None] % 512, columns % 512], None

    survey(Huge(), Huge())
    assert 0 < Huge.looks <= 2 * 64
    assert Huge.pixels <= 64 * (256**2 + 384**2)


def test_a_straight_field_goes_on_straight():
    field = Field(101, 201, np.array([[[0, 0], [0, 20]], [[10, 0], [10, 20]]], np.float32))
    down, across = field.window(0, 0, 101, 201)
    y, x = np.mgrid[:101, :201]
    np.testing.assert_allclose(down / STEPS, y / 10, atol=0.5 / STEPS)
    np.testing.assert_allclose(across / STEPS, x / 10, atol=0.5 / STEPS)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_shift_does_not_depend_on_the_window(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    shape = data.draw(st.tuples(st.integers(2, 6), st.integers(2, 6)))
    field = Field(300, 400, rng.normal(0, 10, (*shape, 2)).astype(np.float32))
    top, left = data.draw(st.integers(0, 250)), data.draw(st.integers(0, 350))
    height, width = data.draw(st.integers(1, 50)), data.draw(st.integers(1, 50))
    whole, part = field.window(0, 0, 300, 400), field.window(top, left, height, width)
    for one, other in zip(whole, part, strict=True):
        np.testing.assert_array_equal(one[top : top + height, left : left + width], other)
    limits = field.most()
    assert all(np.abs(each).max() <= STEPS * most for each, most in zip(whole, limits, strict=True))
    points = np.array([[top, left], [299, 399]])
    direct = field.at(points.astype(np.float64))
    stepped = np.stack([each[points[:, 0], points[:, 1]] for each in whole], 1) / STEPS
    np.testing.assert_allclose(direct, stepped, atol=0.51 / STEPS)


def test_shifts_unlike_their_neighbours_are_left_out():
    rng = np.random.default_rng(0)
    points = np.stack(np.meshgrid(*[np.arange(0, 1000, 100.0)] * 2), -1).reshape(-1, 2)
    shifts = np.column_stack([points[:, 0] / 100, points[:, 1] / -200])
    wrong = rng.permutation(100)[:30]
    given = shifts.copy()
    given[wrong] += rng.choice([-1, 1], (30, 2)) * rng.uniform(5, 40, (30, 2))
    agree = agreeing(points, given)
    assert not agree[wrong].any()
    field, _ = fitted(1000, 1000, (8, 8), points[agree], given[agree])
    np.testing.assert_allclose(field.at(points), shifts, atol=0.2)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_few_measurements_have_one_shift(count):
    points = np.arange(2.0 * count).reshape(-1, 2)
    field, follows = fitted(50, 60, (4, 4), points, np.full((count, 2), (2.0, -3.0)))
    assert follows.all()
    assert (field.nodes == np.float32((2, -3))).all()

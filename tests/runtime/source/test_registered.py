"""An image read through a field of shifts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.source.contract import Mask
from runtime.source.field import Field
from runtime.source.registered import Registered
from tests.runtime.source.planted import picture, texture

HEIGHT, WIDTH = 120, 150
IMAGE = texture(0, HEIGHT, WIDTH)


def by(down: float, across: float) -> Field:
    return Field(HEIGHT, WIDTH, np.full((2, 2, 2), (down, across), np.float32))


def bent(seed: int, most: float = 15) -> Field:
    rng = np.random.default_rng(seed)
    return Field(HEIGHT, WIDTH, rng.uniform(-most, most, (4, 5, 2)).astype(np.float32))


def test_whole_pixels_are_taken_as_they_are():
    pixels, known = Registered(picture(IMAGE), by(3, -5)).read(0, 0, HEIGHT, WIDTH)
    np.testing.assert_array_equal(pixels[:-3, 5:], IMAGE[3:, :-5])
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[:-3, 5:] = True
    np.testing.assert_array_equal(known, expected)


def test_parts_of_pixels_are_mixed():
    pixels, known = Registered(picture(IMAGE), by(0.25, 0.5)).read(10, 20, 30, 40)
    image = IMAGE.astype(np.float64)
    row = 0.75 * image[10:40] + 0.25 * image[11:41]
    mixed = (row[:, 20:60] + row[:, 21:61]) / 2
    assert np.abs(pixels - mixed).max() <= 0.51
    assert known is None


def test_a_pixel_is_known_only_where_all_that_it_is_mixed_of_is():
    there = np.ones((HEIGHT, WIDTH), bool)
    there[50, 60] = False
    mask = Mask("hole", "", there)
    image = picture(IMAGE, there)
    object.__setattr__(image, "of_each", (mask,))
    for shift, rows, columns in (((0, 0), [50], [60]), ((0.5, 0.5), [49, 50], [59, 60]),
                                 ((2.0, 0.25), [48], [59, 60])):  # fmt: skip
        source = Registered(image, by(*shift))
        _, known = source.read(20, 20, 60, 80)
        expected = np.ones((HEIGHT, WIDTH), bool)
        expected[np.ix_(rows, columns)] = False
        np.testing.assert_array_equal(known, expected[20:80, 20:100])
        masks = {each.name: each.known for each in source.masks(20, 20, 60, 80)}
        np.testing.assert_array_equal(masks["hole"], known)


def test_the_masks_together_are_what_is_known():
    there = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.99
    image = picture(IMAGE, there)
    object.__setattr__(image, "of_each", (Mask("hole", "", there),))
    source = Registered(image, bent(1))
    _, known = source.read(0, 0, HEIGHT, WIDTH)
    first, second = (each.known for each in source.masks(0, 0, HEIGHT, WIDTH))
    np.testing.assert_array_equal(known, first & second)
    assert not first.all()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_pixel_does_not_depend_on_the_window(data):
    there = np.random.default_rng(1).random((HEIGHT, WIDTH)) < 0.98
    source = Registered(picture(IMAGE, there), bent(data.draw(st.integers(0, 20))))
    whole, known = source.read(0, 0, HEIGHT, WIDTH)
    top, left = data.draw(st.integers(0, HEIGHT - 1)), data.draw(st.integers(0, WIDTH - 1))
    height = data.draw(st.integers(1, HEIGHT - top))
    width = data.draw(st.integers(1, WIDTH - left))
    part, part_known = source.read(top, left, height, width)
    here = slice(top, top + height), slice(left, left + width)
    np.testing.assert_array_equal(part, whole[here])
    np.testing.assert_array_equal(
        np.ones((height, width), bool) if part_known is None else part_known, known[here]
    )


def test_far_from_the_corner_it_is_no_less_exact():
    """Single precision has too few places for a row of 10^6 and a share of it."""
    wide = np.tile(texture(3, 4, 200), (1, 500, 1))
    source = Registered(picture(wide), Field(4, 100_000, np.full((2, 2, 2), (0, 0.5), np.float32)))
    near, _ = source.read(0, 200, 4, 200)
    far, _ = source.read(0, 99_600, 4, 200)
    np.testing.assert_array_equal(near, far)


def test_what_is_moved_off_is_not_known():
    source = Registered(picture(IMAGE), by(HEIGHT + 50, 0))
    pixels, known = source.read(0, 0, 30, 40)
    assert not known.any()
    assert pixels.shape == (30, 40, 3)
    (mask,) = source.masks(0, 0, 30, 40)
    assert not mask.known.any()
    assert "--register" in mask.alone


def test_to_be_looked_at_it_is_moved_too():
    small = Registered(picture(IMAGE), by(2, 4)).reduced(0, 0, 100, 120, (50, 60))
    expected = IMAGE[2:102, 4:124].astype(float).reshape(50, 2, 60, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - expected).max() <= 0.51


@pytest.mark.parametrize("shift", [(0.0, 0.0), (7.5, -3.0)])
def test_more_is_decoded_for_a_row_of_windows(shift):
    class Blocks:
        height, width = HEIGHT, WIDTH

        def decoded_bytes(self, height):
            return height

    assert Registered(Blocks(), by(*shift)).decoded_bytes(32) >= 32 + 2 * abs(shift[0])

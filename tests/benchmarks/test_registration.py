"""The planted fields are what they are said to be."""

import cv2
import numpy as np
import pytest

from benchmarks.registration.pairs import destroyed, fields, landing, moved, on_top
from tests.runtime.source.planted import texture

SIDE = 256


@pytest.mark.parametrize("name", fields(SIDE))
def test_what_was_at_a_pixel_lies_where_its_landing_says(name):
    smooth = cv2.GaussianBlur(texture(0, SIDE, SIDE), (0, 0), 4)
    moves = fields(SIDE)[name]
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    down, across = landing(moves)
    back = cv2.remap(moved(smooth, moves), x + across, y + down, cv2.INTER_LINEAR)
    inside = (slice(40, -40), slice(40, -40))
    off = np.abs(back[inside].astype(int) - smooth[inside])
    assert np.percentile(off, 99) <= 3


def test_shifts_on_top_of_each_other_add_up():
    first, second = fields(SIDE)["shift of 8, 8"], fields(SIDE)["shift of 16, -16"]
    down, across = on_top(first, second)
    assert (down == 24).all()
    assert (across == -8).all()


def test_three_tenths_are_destroyed():
    black, white = (np.full((1024, 1024, 3), each, np.uint8) for each in (0, 255))
    assert destroyed(black, white).mean() / 255 == pytest.approx(0.3, abs=0.05)

"""A tile by windows, with an engine whose answer at a pixel depends on that pixel alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.accuracy.windows import predict_tile
from runtime.engine import load_engine
from runtime.errors import DataError

SIDE = 64


@pytest.fixture(scope="module")
def engine(engines):
    with load_engine(engines[0]) as loaded:
        yield loaded


@settings(max_examples=10)
@given(rows=st.integers(1, 3), columns=st.integers(1, 3), seed=st.integers(0, 99))
def test_every_pixel_is_answered_once_and_in_its_place(engine, rows, columns, seed):
    random = np.random.default_rng(seed)
    shape = (rows * SIDE, columns * SIDE, 3)
    pre, post = (random.integers(0, 256, shape, np.uint8) for _ in range(2))
    maps = predict_tile(engine, "tile", pre, post)
    expected = np.where(pre[..., 0] >= 128, np.maximum(post[..., 0] // 60, 1), 0)
    assert np.array_equal(maps.damage, expected)
    assert np.array_equal(maps.building, pre[..., 0])
    assert np.array_equal(maps.confidence, post[..., 0])


@pytest.mark.parametrize(("height", "width"), [(96, 64), (64, 100), (32, 32), (32, 128)])
def test_a_tile_that_the_engine_does_not_divide_is_refused(engine, height, width):
    image = np.zeros((height, width, 3), np.uint8)
    with pytest.raises(DataError, match=f"town_1: the tile is {height}x{width}.* takes 64x64"):
        predict_tile(engine, "town_1", image, image)

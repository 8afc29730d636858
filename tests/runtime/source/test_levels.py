"""What is told of a pair's light is what its pixels say."""

import numpy as np
import pytest

from runtime.mapping import map_pair
from runtime.options import MapOptions
from runtime.source import levels
from runtime.source.pair import open_pair


@pytest.fixture
def read(tmp_path, write_raster):
    def of(pre: np.ndarray, post: np.ndarray, scale=None):
        paths = [
            write_raster(tmp_path / name, image)
            for name, image in (("pre.tif", pre), ("post.tif", post))
        ]
        with open_pair(*paths, scale=scale) as pair:
            found = levels.of_pair(pair)
            return found, levels.notes(pair, found)

    return of


def even(low: int, high: int, kind=np.uint8) -> np.ndarray:
    """Greys evenly from one to the other."""
    values = np.linspace(low, high, 128 * 128).round().astype(kind)
    return np.random.default_rng(0).permutation(values).reshape(128, 128, 1).repeat(3, 2)


def test_a_shift_of_the_histogram_is_its_distance(read):
    found, notes = read(even(40, 140), even(60, 160))
    assert found["apart"] == pytest.approx(20, abs=0.2)
    assert found["before"] == {"5%": 45.0, "50%": 90.0, "95%": 135.0}
    assert found["after"]["50%"] == pytest.approx(110, abs=0.5)
    assert notes == []


def test_a_pair_in_very_different_light_is_told(read):
    found, (note,) = read(even(20, 100), even(120, 200))
    assert found["apart"] == pytest.approx(100, abs=0.5)
    assert "lie 100 grey levels apart" in note
    assert "half of their pixels are below 160 and 60 of 255" in note


def test_a_scale_of_each_image_brings_them_together(read):
    first, second = even(200, 1200, np.uint16), even(1000, 3000, np.uint16)
    apart, notes = read(first, second, scale=(0, 3000))
    assert apart["apart"] == pytest.approx(1300 * 255 / 3000, abs=1)
    assert notes
    together, notes = read(first, second, scale=(200, 1200, 1000, 3000))
    assert together["apart"] < 1
    assert notes == []


def test_buildings_made_anew_keep_what_reading_told(scene, engine, tmp_path):
    pre, post, *_ = scene()
    first = map_pair(engine, pre, post, tmp_path / "out", MapOptions())
    again = map_pair(engine, pre, post, tmp_path / "out", MapOptions(min_area=40, resume=True))
    assert again["levels"] == first["levels"] is not None

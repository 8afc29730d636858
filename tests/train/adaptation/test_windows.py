"""Which windows are read: all corrections are seen, and the scene is not read for more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.buildings.spans import Spans
from runtime.errors import ConfigError, ImageError
from runtime.source.pair import open_pair
from tests.train.adaptation.conftest import HEIGHT, WIDTH, write_raster
from train.adaptation.corrections import Correction
from train.adaptation.targets import owners, without
from train.adaptation.windows import around, check_side, read_patches, sample

NONE = Spans(*(np.zeros(0, np.int64) for _ in range(4)))


def _rectangle(top: int, left: int, bottom: int, right: int, damage: int = 1) -> Correction:
    rows = np.arange(top, bottom)
    spans = Spans(0 * rows, rows, np.full_like(rows, left), np.full_like(rows, right))
    return Correction("it", "drawn", damage, spans, NONE)


@given(
    st.integers(40, 3000), st.integers(40, 3000),
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(1, 90), st.integers(1, 90)),
        min_size=1, max_size=20,
    ),
)  # fmt: skip
def test_each_correction_lies_in_its_window(height: int, width: int, given_: list) -> None:
    corrections = []
    for y, x, h, w in given_:
        h, w = min(h, height), min(w, width)
        top, left = round(y * (height - h)), round(x * (width - w))
        corrections.append(_rectangle(top, left, top + h, left + w))
    windows, window_of = around(corrections, height, width, 128)
    assert len(windows) <= len(corrections)
    for each, number in zip(corrections, window_of, strict=True):
        top, left, bottom, right = each.box
        window = windows[number]
        assert window.row.start <= top
        assert bottom <= window.row.start + 128
        assert window.column.start <= left
        assert right <= window.column.start + 128
    for window in windows:
        assert 0 <= window.row.start <= max(0, height - 128)
        assert 0 <= window.column.start <= max(0, width - 128)


def test_owners_are_the_rectangles_in_a_window() -> None:
    corrections = [_rectangle(0, 0, 20, 20, damage=0), _rectangle(10, 10, 30, 40)]
    known = np.ones((32, 32), bool)
    known[:, 31] = False
    owner = owners(corrections, 5, 8, 32, known)
    expected = np.zeros((32, 32), np.int32)
    expected[:15, :12] = -1
    expected[5:25, 2:31] = 2
    np.testing.assert_array_equal(owner, expected)
    np.testing.assert_array_equal(without(owner, [1]) != 0, owner == -1)


def test_a_small_scene_is_mirrored_and_not_known_there(rasters: tuple[Path, Path]) -> None:
    with open_pair(*rasters) as pair:
        (patch,) = sample(pair, 256, 4, seed=0)
        assert patch.pre.shape == (256, 256, 3)
        expected = np.zeros((256, 256), bool)
        expected[:HEIGHT, :WIDTH] = True
        np.testing.assert_array_equal(patch.known, expected)


def test_windows_without_ground_are_not_sampled(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(1, 255, (256, 512, 3)).astype(np.uint8)
    pixels[:, 200:] = 0
    path = tmp_path / "pre.tif"
    write_raster(path, pixels, nodata=0)
    with open_pair(path, path) as pair:
        found = sample(pair, 64, 64, seed=0)
        assert {each.left for each in found} == {0, 64, 128}
        with pytest.raises(ImageError, match="smaller --window"):
            sample(pair, 512, 4, seed=0)


def test_a_large_scene_is_read_in_its_sample_alone(rasters: tuple[Path, Path]) -> None:
    """A source of 100,000 x 100,000 pixels that exists only where it is asked for."""

    class Large:
        height = width = 100_000
        read_pixels = 0

        def read(self, top: int, left: int, height: int, width: int) -> tuple:
            Large.read_pixels += height * width
            return (np.zeros((height, width, 3), np.uint8),) * 2 + (None,)

    found = sample(Large(), 64, 5, seed=0)  # type: ignore[arg-type]
    windows, _ = around([_rectangle(99_990, 5, 99_999, 9)], 100_000, 100_000, 64)
    list(read_patches(Large(), windows, 64))  # type: ignore[arg-type]
    assert len({(each.top, each.left) for each in found}) == 5
    assert Large.read_pixels == 6 * 64 * 64


@pytest.mark.parametrize("side", [0, 32, 100, -64])
def test_a_side_that_the_network_cannot_take_is_refused(side: int) -> None:
    with pytest.raises(ConfigError, match=f"--window {side}: expected a multiple of 32"):
        check_side(side)

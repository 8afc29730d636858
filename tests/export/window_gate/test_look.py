"""Tiles through a gate, against pixels that are counted one by one."""

import json

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from export.window_gate.look import areas_of, company_of, highest_on, levels_of, look, outlines
from runtime.scene.windows import window_rows
from train.xbd import find_tiles

SIZE, HALO = (64, 64), 16
BOXES = st.tuples(*[st.integers(0, 119)] * 2, *[st.integers(1, 40)] * 2)


@settings(max_examples=60)
@given(st.lists(BOXES, min_size=1, max_size=6), st.data())
def test_a_level_is_the_threshold_above_which_more_than_half_is_skipped(boxes, data):
    windows = [each for row in window_rows((128, 128), SIZE, HALO) for each in row]
    peaks = [data.draw(st.integers(0, 5)) for _ in windows]
    corners = [(x, y, min(x + w, 128), min(y + h, 128)) for x, y, w, h in boxes]
    polygons = np.array([shapely.box(*each) for each in corners])
    areas = areas_of(polygons, windows)
    for level, (left, top, right, bottom) in zip(levels_of(areas, peaks), corners, strict=True):
        for threshold in range(8):
            skipped = np.zeros((128, 128), bool)
            for window, peak in zip(windows, peaks, strict=True):
                skipped[window.place] = peak < threshold
            share = skipped[top:bottom, left:right].mean()
            assert (share > 0.5) == (level < threshold)


@settings(max_examples=60)
@given(st.lists(BOXES, max_size=6))
def test_the_company_of_a_building_is_what_its_fullest_window_shows(boxes):
    windows = [each for row in window_rows((128, 128), SIZE, HALO) for each in row]
    whole = np.zeros((len(boxes), 128, 128), bool)
    for mask, (x, y, w, h) in zip(whole, boxes, strict=True):
        mask[y : y + h, x : x + w] = True
    shown = np.array([[mask[each.place].any() for each in windows] for mask in whole])
    corners = [(x, y, min(x + w, 128), min(y + h, 128)) for x, y, w, h in boxes]
    polygons = np.array([shapely.box(*each) for each in corners], object)
    expected = [shown[:, row].sum(0).max() for row in shown]
    assert company_of(areas_of(polygons, windows)) == expected


@pytest.fixture
def tile(tile_set):
    """Three houses, one of them half outside of the image."""
    houses = [("a", 8, 8, 20, 18), ("b", 40, 40, 52, 58), ("c", 58, 2, 80, 12)]
    shapes = [(uid, shapely.box(*corners).wkt, "destroyed") for uid, *corners in houses]
    (found,) = find_tiles(tile_set(shapes, size=64), "train")
    return found


def test_a_gate_is_looked_at_where_the_runtime_would(tile):
    """A gate that finds house "a" at 200 of 255, and in all windows something at 9."""
    size, calls = (32, 32), []
    windows = [each for row in window_rows((64, 64), size, 8) for each in row]

    def run(pre, post):
        assert pre.shape == post.shape == (32, 32, 3)
        window = windows[len(calls)]
        calls.append(window)
        whole = np.full((64, 64), 9, np.uint8)
        whole[8:19, 8:21] = 200
        top, left = window.row.start, window.column.start
        return None, whole[top : top + 32, left : left + 32], None

    seen = look(run, [tile], size, 8, 0)
    assert calls == windows
    near = [each.row.begin < 19 and each.column.begin < 21 for each in windows]
    assert seen.peaks.tolist() == [200 if each else 9 for each in near]
    building, _ = tile.targets(64, 64)
    assert seen.pixels.sum() == building.sum()
    assert seen.pixels.tolist() == [int(building[each.place].sum()) for each in windows]
    assert seen.alone.tolist() == [200, 9]  # the third is cut by the edge
    assert seen.levels.tolist() == [200, 9, 9]
    assert seen.company.tolist() == [1, 1, 1]


def test_a_tile_smaller_than_a_window_is_mirrored(tile):
    shapes = []

    def run(pre, post):
        shapes.append(pre.shape)
        return None, np.zeros(pre.shape[:2], np.uint8), None

    seen = look(run, [tile], (128, 96), 16, 32)
    assert shapes == [(128, 96, 3)]
    assert seen.peaks.tolist() == [0]
    assert len(seen.levels) == 3


def test_outlines_end_at_the_image_and_what_lies_beyond_is_none(tile):
    content = json.loads(tile.labels[0].read_text())
    feature = content["features"]["xy"][0]
    beyond = {**feature, "wkt": shapely.box(70, 70, 90, 90).wkt}
    crossed = {**feature, "wkt": "POLYGON ((4 4, 12 12, 12 4, 4 12, 4 4))"}
    content["features"]["xy"] += [beyond, crossed]
    tile.labels[0].write_text(json.dumps(content))
    found = outlines(tile, (64, 64))
    assert shapely.area(found).tolist() == [120, 216, 60, 32]


@given(BOXES, st.integers(0, 2**32 - 1))
def test_the_highest_on_a_house_is_that_of_its_pixels(box, seed):
    x, y, w, h = box
    found = np.random.default_rng(seed).integers(0, 256, (128, 128)).astype(np.uint8)
    house = shapely.box(x, y, min(x + w, 127), min(y + h, 127))
    left, top, right, bottom = map(int, house.bounds)
    if right > left and bottom > top:
        assert highest_on(house, found) == found[top : bottom + 1, left : right + 1].max()

import tracemalloc
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.scene.windows import Span, Spans, window_rows

SIDE = st.integers(1, 300)
TILE = st.integers(8, 64)


@settings(deadline=None)
@given(SIDE, SIDE, TILE, TILE, st.data())
def test_every_pixel_is_kept_once_and_far_from_inner_edges(height, width, tall, wide, data):
    halo = data.draw(st.integers(0, (min(tall, wide) - 1) // 2))
    kept = np.zeros((height, width), int)
    for row in window_rows((height, width), (tall, wide), halo):
        for window in row:
            for span, side, tile in (
                (window.row, height, tall), (window.column, width, wide),
            ):  # fmt: skip
                assert 0 <= span.start <= span.begin < span.end <= min(side, span.start + tile)
                assert span.start + tile <= side or span.start == 0
                assert span.begin == 0 or span.begin - span.start >= halo
                assert span.end == side or span.start + tile - span.end >= halo
            kept[window.row.begin : window.row.end, window.column.begin : window.column.end] += 1
    assert (kept == 1).all()


def test_a_scene_of_the_engines_size_is_one_window():
    ((window,),) = window_rows((64, 96), (64, 96), 8)
    assert (window.row.start, window.column.start) == (0, 0)
    assert (window.row.end, window.column.end) == (64, 96)


def one_by_one(length: int, window: int, halo: int) -> list[tuple[int, int, int]]:
    """start, begin and end of the windows along one side, each from the one before."""
    found, kept = [], 0
    while kept < length:
        start = max(0, kept - halo)
        if start + window >= length:
            return [*found, (max(0, length - window), kept, length)]
        found.append((start, kept, kept := start + window - halo))
    return found


@given(st.integers(0, 300), TILE, st.data())
def test_a_window_is_the_same_by_its_number_as_from_the_one_before(length, window, data):
    halo = data.draw(st.integers(0, (window - 1) // 2))
    spans = Spans(length, window, halo)
    expected = one_by_one(length, window, halo)
    for found in (spans, [spans[number] for number in range(len(spans))]):
        assert [(each.start, each.begin, each.end) for each in found] == expected
    assert len(spans) == len(expected)
    assert spans[1:-1] == list(spans)[1:-1]


@settings(deadline=None)
@given(SIDE, TILE, st.data())
def test_each_pixel_tells_the_window_that_keeps_it(length, tile, data):
    spans = Spans(length, tile, data.draw(st.integers(0, (tile - 1) // 2)))
    found = spans.keeping(np.arange(length))
    expected = [number for number, each in enumerate(spans) for _ in range(each.begin, each.end)]
    assert found.tolist() == expected


def test_windows_that_are_not_wanted_do_not_come():
    rows = window_rows((90, 130), (32, 48), 8)
    wanted = np.random.default_rng(0).random((len(rows.rows), len(rows.columns))) < 0.3
    every = [window for row in rows for window in row]
    found = list(replace(rows, wanted=wanted).windows(range(len(rows))))
    assert found == [each for each, one in zip(every, wanted.ravel(), strict=True) if one]
    assert list(rows.windows(range(len(rows)))) == every


def test_windows_of_a_scene_of_10_12_pixels_take_no_memory():
    tracemalloc.start()
    rows = window_rows((10**6, 10**6), (32, 32), 8)
    assert (len(rows), rows.count) == (62_499, 62_499**2)
    assert next(rows.windows(range(40_000, len(rows)))).row == Span(640_000, 640_008, 640_024)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runtime.scene.windows import window_rows

SIDE = st.integers(1, 300)
TILE = st.integers(8, 64)


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

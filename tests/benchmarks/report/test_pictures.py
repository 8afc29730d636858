import base64

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.report import pictures
from runtime.damage import CLASS_COLOURS, IGNORE

SHAPE = (6, 7)


def _decoded(uri: str) -> np.ndarray:
    content = np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8)
    return cv2.cvtColor(cv2.imdecode(content, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


@given(
    arrays(np.uint8, SHAPE, elements=st.integers(0, 4)),
    arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 2, 3, 4, IGNORE])),
)
def test_errors_are_of_one_kind_each_and_never_where_truth_is_unknown(damage, truth):
    wrong = pictures.errors(damage, truth)
    for at in np.ndindex(SHAPE):
        found, there = int(damage[at]), int(truth[at])
        if there == IGNORE or found == there:
            kind = None
        elif there == 0:
            kind = pictures.FALSE_ALARM
        else:
            kind = pictures.MISSED if found == 0 else pictures.WRONG_CLASS
        assert [name for name, where in wrong.items() if where[at]] == ([kind] if kind else [])


def test_maps_keep_their_colours_to_the_pixel():
    damage = np.arange(20, dtype=np.uint8).reshape(4, 5) % 5
    assert np.array_equal(_decoded(pictures.damage_map(damage)), np.array(CLASS_COLOURS)[damage])
    truth = np.full((4, 5), IGNORE, np.uint8)
    assert (_decoded(pictures.truth_map(truth)) == pictures.UNCLASSIFIED_COLOUR).all()


def test_large_maps_hold_no_colour_that_is_no_class():
    damage = np.random.default_rng(0).integers(0, 5, (1100, 1024), np.uint8)
    picture = _decoded(pictures.damage_map(damage))
    assert max(picture.shape[:2]) == 512
    assert set(map(tuple, picture.reshape(-1, 3))) <= set(CLASS_COLOURS)


def test_what_is_wrong_is_painted_on_the_image():
    post = np.full((*SHAPE, 3), 200, np.uint8)
    damage, truth = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    damage[0, 0], truth[1, 1] = 1, 2
    picture = _decoded(pictures.error_map(post, pictures.errors(damage, truth)))
    assert tuple(picture[0, 0]) == pictures.ERROR_COLOURS[pictures.FALSE_ALARM]
    assert tuple(picture[1, 1]) == pictures.ERROR_COLOURS[pictures.MISSED]
    assert tuple(picture[2, 2]) == (90, 90, 90)
    picture = _decoded(pictures.difference_map(post, damage, truth))
    assert np.count_nonzero((picture != 90).any(-1)) == 2

"""The reliability diagram and its ECE, against a loop over pixels with exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from benchmarks.accuracy.confidence import BINS, Reliability

SHAPE = (6, 7)
classes = hnp.arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 2, 3, 4, 255]))
# The edges of the bins are whole levels, 17 apart: where a rounding would show.
levels = hnp.arrays(
    np.uint8, SHAPE, elements=st.integers(0, 255) | st.sampled_from(range(0, 256, 17))
)


def counted(damage: np.ndarray, confidence: np.ndarray, truth: np.ndarray) -> Reliability:
    reliability = Reliability()
    reliability.add(damage, confidence, truth)
    return reliability


@given(damage=classes, confidence=levels, truth=classes)
def test_ece_is_that_of_a_loop_over_pixels(damage, confidence, truth):
    bins: list[list[tuple[Fraction, bool]]] = [[] for _ in range(BINS)]
    for row in range(SHAPE[0]):
        for column in range(SHAPE[1]):
            answer, actual = int(damage[row, column]), int(truth[row, column])
            if answer in (1, 2, 3, 4) and actual in (1, 2, 3, 4):
                value = Fraction(int(confidence[row, column]), 255)
                place = next(each for each in range(BINS) if value <= Fraction(each + 1, BINS))
                bins[place].append((value, answer == actual))
    found = counted(damage, confidence, truth)
    total = sum(map(len, bins))
    assert int(found.seen.sum()) == total
    if not total:
        assert found.ece is None
        assert found.bins == []
        return
    gaps = [abs(sum(right for _, right in each) - sum(v for v, _ in each)) for each in bins]
    assert found.ece == pytest.approx(float(Fraction(sum(gaps)) / total), abs=1e-12)
    for shown, pixels in zip(found.bins, filter(None, bins), strict=True):
        assert shown["count"] == len(pixels)
        assert shown["accuracy"] == pytest.approx(np.mean([right for _, right in pixels]))
        assert shown["confidence"] == pytest.approx(float(np.mean([v for v, _ in pixels])))
        assert shown["low"] - 1e-12 <= shown["confidence"] <= shown["high"] + 1e-12


@given(damage=classes, confidence=levels, truth=classes)
def test_counts_of_parts_add_up(damage, confidence, truth):
    parts = Reliability()
    for rows in (slice(0, 2), slice(2, None)):
        parts.add(damage[rows], confidence[rows], truth[rows])
    assert parts.as_dict() == counted(damage, confidence, truth).as_dict()


def test_a_calibrated_engine_has_no_error_and_a_boaster_all_of_it():
    truth = np.array([[1, 1, 1, 1, 1]], np.uint8)
    answer = np.array([[1, 1, 1, 2, 2]], np.uint8)  # three of five are right
    assert counted(answer, np.full((1, 5), 153, np.uint8), truth).ece == pytest.approx(0)  # 0.6
    assert counted(answer, np.full((1, 5), 255, np.uint8), truth).ece == pytest.approx(0.4)
    assert counted(answer, np.zeros((1, 5), np.uint8), truth).ece == pytest.approx(0.6)

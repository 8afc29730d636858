"""The measured reach, beside networks whose reach is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from export.reach import measured_reach
from train.inference import Maps, Runner


def _local(reach: int, building: float = 0.5) -> Runner:
    """Labels by the mean of a square of 2 `reach` + 1 pixels; black lies outside of a window."""

    def run(pre: np.ndarray, post: np.ndarray) -> Maps:
        bright = post.mean(axis=2, dtype=np.float32)
        side = 2 * reach + 1
        near = cv2.blur(bright, (side, side), borderType=cv2.BORDER_CONSTANT)
        noise = ((near * 37) % 1 < building).astype(np.uint8)  # any change is a new label
        return noise, noise, noise

    return run


@pytest.mark.parametrize(("reach", "expected"), [(10, 64), (64, 64), (80, 96), (120, 128)])
def test_it_is_the_next_step_above_what_the_labels_depend_on(reach: int, expected: int) -> None:
    assert measured_reach(_local(reach), 512, 640) == expected


def test_what_lies_above_and_below_counts_too() -> None:
    def run(pre: np.ndarray, post: np.ndarray) -> Maps:
        near = cv2.blur(post.mean(axis=2, dtype=np.float32), (1, 161), borderType=0)
        labels = ((near * 37) % 1 < 0.5).astype(np.uint8)
        return labels, labels, labels

    assert measured_reach(run, 640, 512) == 96


def test_where_more_than_a_quarter_is_needed_it_is_a_quarter() -> None:
    def run(pre: np.ndarray, post: np.ndarray) -> Maps:
        near = cv2.blur(post.mean(axis=2, dtype=np.float32), (301, 301), borderType=0)
        labels = (near > 90).astype(np.uint8)  # the nearer to the edge, the more is black
        return labels, labels, labels

    assert measured_reach(run, 512, 512) == 128


def test_averages_over_the_window_need_no_more_than_an_eighth() -> None:
    def run(pre: np.ndarray, post: np.ndarray) -> Maps:
        labels = (post.mean(axis=2) > post.mean()).astype(np.uint8)
        return labels, labels, labels

    assert measured_reach(run, 1024, 1024) == 128


def test_without_buildings_nothing_is_measured() -> None:
    assert measured_reach(_local(10, building=0.0), 512, 512) is None


def test_small_windows_leave_nothing_to_choose() -> None:
    def run(pre: np.ndarray, post: np.ndarray) -> Maps:
        raise AssertionError("not needed")

    assert measured_reach(run, 256, 512) is None

"""What was left out, how it is judged, and when that forbids the weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.adaptation.left_out import FEW, FOLDS, Judged, folds_of, worse


@given(st.lists(st.integers(0, 30), min_size=1, max_size=80))
def test_every_correction_is_left_out_once(windows: list[int]) -> None:
    folds = folds_of(windows)
    assert sorted(index for fold in folds for index in fold) == list(range(len(windows)))
    assert all(folds)
    if len(windows) < FEW:
        assert all(len(fold) == 1 for fold in folds)
    elif len(set(windows)) >= FOLDS and set(windows) == set(range(max(windows) + 1)):
        assert len(folds) == FOLDS


@given(st.lists(st.integers(0, 30), min_size=FEW, max_size=80))
def test_neighbours_in_a_window_are_left_out_together(windows: list[int]) -> None:
    fold_of = {index: number for number, fold in enumerate(folds_of(windows)) for index in fold}
    if len(set(windows)) >= FOLDS:
        for first, window in enumerate(windows):
            same = [index for index, other in enumerate(windows) if other == window]
            assert {fold_of[index] for index in same} == {fold_of[first]}


def _judged(*pairs: tuple[int, int]) -> Judged:
    found = Judged()
    for damage, predicted in pairs:
        found.add(damage, predicted)
    return found


def test_figures_of_a_few_buildings_by_hand() -> None:
    found = _judged((1, 1), (1, 4), (4, 4), (4, 0), (0, 0), (0, 2), (255, 3), (255, 0))
    assert found.accuracy == 2 / 4
    # No damage: 1 hit, 1 missed. Destroyed: 1 hit, 1 missed, 1 false alarm.
    assert found.f1 == pytest.approx((2 / 3 + 2 / 4) / 2)
    assert found.right == 3 + 1 + 1
    assert found.count == 8


def test_without_a_class_there_is_no_accuracy() -> None:
    found = _judged((255, 1), (0, 0))
    assert (found.accuracy, found.f1, found.right) == (None, None, 2)
    assert worse(found, found) == []


def test_nothing_recognised_before_or_after_is_no_proof() -> None:
    none, some = _judged((1, 0), (4, 1)), _judged((1, 1), (4, 1))
    (clause,) = worse(none, _judged((1, 4), (4, 0)))
    assert clause == "none of 2 is given its class, before or after"
    assert worse(none, some) == []


def test_a_sum_of_folds_is_the_whole() -> None:
    pairs = [(1, 1), (2, 0), (255, 4), (0, 1), (3, 4)]
    parts = [_judged(each) for each in pairs]
    total = sum(parts[1:], parts[0])
    np.testing.assert_array_equal(total.confusion, _judged(*pairs).confusion)
    np.testing.assert_array_equal(total.unclassified, _judged(*pairs).unclassified)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ([(1, 1), (4, 4), (0, 0)], []),
        ([(1, 4), (4, 4), (0, 0)], ["accuracy", "mean F1"]),
        ([(1, 1), (4, 4), (0, 1)], ["mean F1", "detection fell from 3 to 2 of 3"]),
        ([(1, 0), (4, 4), (0, 0)], ["accuracy", "mean F1", "detection"]),
    ],
)
def test_what_fell_is_named(after: list[tuple[int, int]], said: list[str]) -> None:
    found = worse(_judged((1, 1), (4, 4), (0, 0)), _judged(*after))
    assert len(found) == len(said)
    assert all(clause.startswith(begin) for clause, begin in zip(found, said, strict=True))

"""The threshold of a gate, and what it misses, against counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from export.window_gate.misses import (
    HAMLET,
    Seen,
    highest_threshold,
    lower_bound,
    threshold_of,
    upper_bound,
)

BYTES = st.integers(0, 255)


def seen(levels, alone=None, company=None) -> Seen:
    alone = levels if alone is None else alone
    company = [99] * len(levels) if company is None else company
    return Seen(*map(np.array, ([0], [0], levels, alone, company)))


@given(st.lists(BYTES, min_size=1, max_size=60), st.floats(0, 1))
def test_the_highest_threshold_holds_the_budget_and_the_next_does_not(levels, budget):
    found = highest_threshold(np.array(levels), budget)
    assert 0 <= found <= 255
    assert seen(levels).missed(found) <= budget
    if found < 255:
        assert sum(each < found + 1 for each in levels) > int(budget * len(levels))


@given(
    st.lists(st.tuples(BYTES, BYTES, st.integers(1, 20)), min_size=1, max_size=60),
    st.floats(0, 0.05),
)
def test_the_threshold_is_below_all_limits(buildings, budget):
    looked = seen(*zip(*buildings, strict=True))
    found = threshold_of(looked, budget)
    assert 0 <= found <= highest_threshold(looked.levels, budget)
    of_hamlets = [level for level, _, company in buildings if company <= HAMLET]
    assert sum(each < found for each in of_hamlets) <= budget * len(of_hamlets)
    assert (looked.alone < found).mean() <= 20 * budget


def test_hamlets_are_not_outvoted_by_towns():
    levels, company = [200] * 9_990 + [30] * 10, [40] * 9_990 + [3] * 10
    assert threshold_of(seen(levels, [255] * 10_000, [40] * 10_000), 0.001) > 100
    assert threshold_of(seen(levels, [255] * 10_000, company), 0.001) < 30


@pytest.mark.parametrize(
    ("level", "expected"), [(0, 0), (50, 14), (128, 51), (204, 127), (254, 251), (255, 253)]
)
def test_four_times_the_odds_are_kept_in_hand(level, expected):
    assert threshold_of(seen([level] * 5, [255] * 5), 0) == expected


@pytest.mark.parametrize(("missed", "of"), [(0, 10), (0, 3000), (1, 1000), (7, 50), (49, 50)])
def test_the_upper_bound_is_where_so_few_are_missed_in_one_of_twenty_draws(missed, of):
    bound = upper_bound(missed, of)
    assert missed / of < bound < 1
    assert binom.cdf(missed, of, bound) == pytest.approx(0.05, abs=1e-6)


@pytest.mark.parametrize(("missed", "of"), [(1, 1000), (7, 50), (49, 50), (50, 50)])
def test_the_lower_bound_is_where_so_many_are_missed_in_one_of_twenty_draws(missed, of):
    bound = lower_bound(missed, of)
    assert 0 < bound < missed / of
    assert binom.sf(missed - 1, of, bound) == pytest.approx(0.05, abs=1e-6)


def test_of_none_or_of_all_nothing_is_known():
    assert upper_bound(0, 0) == upper_bound(5, 5) == 1
    assert lower_bound(0, 0) == lower_bound(0, 5) == 0


def test_counts_are_those_at_the_threshold():
    looked = Seen(
        peaks=np.array([3, 90, 7, 200]),
        pixels=np.array([0, 50, 12, 0]),
        levels=np.array([90, 7, 90]),
        alone=np.array([90, 5, 20, 30]),
        company=np.array([9, 8, 1]),
    )
    assert looked.as_dict(10) == {
        "buildings": 3, "buildings_missed": 1, "missed_at_most": pytest.approx(0.864650),
        "hamlet_buildings": 2, "hamlet_buildings_missed": 1,
        "hamlet_missed_at_most": pytest.approx(0.974679),
        "buildings_not_cut": 4, "not_found_alone": 1, "building_pixels": 62,
        "building_pixels_missed": 12, "windows": 4, "windows_without_building": 2,
        "of_those_skipped": 1,
    }  # fmt: skip

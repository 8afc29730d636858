"""Totals from samples: against closed forms, another library, and towns whose truth is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from benchmarks import counts_coverage
from runtime.counts import estimator, intervals, strata

Z = intervals.quantile(0.95)


def test_the_quantile_is_that_of_the_normal_distribution():
    assert pytest.approx(stats.norm.ppf(0.975)) == Z


def test_limits_of_a_share_are_as_good_as_those_of_jeffreys():
    for n, found in itertools.product((20, 60, 200), (0, 1, 2, 5, 10)):
        low, high = intervals.of_share(np.array(found / n), np.array(float(n)), Z)
        exact = stats.beta.ppf([0.025, 0.975], found + 0.5, n - found + 0.5)
        assert low == pytest.approx(exact[0] if found else 0, abs=0.35 / n)
        assert high == pytest.approx(exact[1], abs=0.35 / n)
        mirrored = intervals.of_share(np.array(1 - found / n), np.array(float(n)), Z)
        assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high))


def test_limits_of_a_number_are_as_good_as_those_of_jeffreys():
    for found in (0, 1, 2, 5, 30):
        low, high = intervals.of_number(np.array(7.0 * found), np.array(7.0), Z)
        exact = 7 * stats.gamma.ppf([0.025, 0.975], found + 0.5)
        assert low == pytest.approx(exact[0] if found else 0, abs=7 * 0.2)
        assert high == pytest.approx(exact[1], abs=7 * 0.25)


def test_a_sum_of_symmetric_intervals_is_that_of_normal_ones():
    parts = [(np.array(5.0), (np.array(2.0), np.array(8.0))), (np.array(1.0), (-3.0, 5.0))]
    total, low, high = intervals.of_sum(parts)
    assert (total, low, high) == pytest.approx((6, 1, 11))


def _sampled(random, size, checked, rates):
    """Truth by stratum and class, and a sample of it: found [H,C]."""
    truth = np.stack([random.multinomial(n, p) for n, p in zip(size, rates, strict=True)])
    found = np.stack([
        random.multivariate_hypergeometric(t, m) for t, m in zip(truth, checked, strict=True)
    ])  # fmt: skip
    return truth, found.astype(float)


def test_totals_are_those_of_horvitz_and_thompson():
    random = np.random.default_rng(0)
    size, checked = np.array([300, 500, 200]), np.array([30, 40, 50])
    _, found = _sampled(random, size, checked, [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])
    given = estimator.Strata(size.astype(float), checked.astype(float), np.eye(3, dtype=bool))
    both = estimator.parts(found, given, Z)
    weights = size / checked
    assert both[0].total + both[1].total == pytest.approx((found * weights[:, None]).sum(axis=0))
    assert (both[0].total + both[1].total).sum() == pytest.approx(size.sum())


def test_of_large_samples_the_interval_is_cochrans():
    size, checked = np.array([40_000.0, 60_000.0]), np.array([4_000.0, 5_000.0])
    found = np.array([[2_400.0, 1_600.0], [2_000.0, 3_000.0]])
    given = estimator.Strata(size, checked, np.array([[True, False], [True, False]]))
    own, others = estimator.parts(found, given, Z)
    share = found[:, 0] / checked
    variance = size**2 * (1 - checked / size) * share * (1 - share) / (checked - 1)
    half = Z * np.sqrt(variance.sum())
    assert (own.high[0] - own.low[0]) / 2 == pytest.approx(half, rel=2e-3)
    assert (others.total[0], others.low[0], others.high[0]) == (0, 0, 0)


def test_a_stratum_that_is_all_alike_has_an_interval():
    given = estimator.Strata(np.array([100.0]), np.array([20.0]), np.array([[True, False]]))
    own, others = estimator.parts(np.array([[20.0, 0.0]]), given, Z)
    assert own.total[0] == 100
    assert own.low[0] < 90
    assert others.total[1] == 0
    assert others.high[1] > 10


def test_all_checked_is_known():
    size = np.array([30.0, 1.0])
    given = estimator.Strata(size, size, np.eye(2, dtype=bool))
    own, others = estimator.parts(np.array([[25.0, 5.0], [1.0, 0.0]]), given, Z)
    total, low, high = intervals.of_sum([(p.total, (p.low, p.high)) for p in (own, others)])
    assert total == pytest.approx([26, 5])
    assert low == pytest.approx(total)
    assert high == pytest.approx(total)


def test_prediction_powered_totals_are_those_of_ppi_python():
    ppi = pytest.importorskip("ppi_py")
    random = np.random.default_rng(1)
    count, checked = 400_000, 500
    said = random.beta(0.5, 0.5, count)
    true = (random.random(count) < said).astype(float)
    picked = random.choice(count, checked, replace=False)
    y, f = true[picked], said[picked]
    one = np.array([[y.sum(), checked - y.sum()]])
    apart = float(((y - y.mean()) * (f - f.mean())).sum() / (checked - 1))
    variance = float(f.var(ddof=1))
    predicted = estimator.Predicted(
        np.array([[said.mean(), 1 - said.mean()]]), np.array([[f.mean(), 1 - f.mean()]]),
        np.full((1, 2), variance), np.full((1, 2), apart),
    )  # fmt: skip
    given = estimator.Strata(np.array([float(count)]), np.array([float(checked)]),
                             np.array([[True, False]]))  # fmt: skip
    own, _ = estimator.parts(one, given, Z, predicted)
    theirs = ppi.ppi_mean_pointestimate(y, f, said)
    low, high = ppi.ppi_mean_ci(y, f, said, alpha=0.05)
    assert own.total[0] / count == pytest.approx(float(np.squeeze(theirs)), abs=2e-4)
    width = float(np.squeeze(high) - np.squeeze(low))
    assert (own.high[0] - own.low[0]) / count == pytest.approx(width, rel=0.01)
    plain, _ = estimator.parts(one, given, Z)
    assert own.high[0] - own.low[0] < 0.8 * (plain.high[0] - plain.low[0])


def test_missed_ones_are_expanded_from_the_cells():
    found, squares = np.array([[6.0, 6.0], [0.0, 0.0]]), np.array([[14.0, 14.0], [0.0, 0.0]])
    cells, checked = np.array([100.0, 400.0]), np.array([20.0, 20.0])
    part = estimator.missed(found, squares, cells, checked, Z)
    assert part.total == pytest.approx([30, 30])
    assert part.low[0] >= 6
    assert part.high[0] > 50
    nothing = estimator.missed(np.zeros((2, 2)), np.zeros((2, 2)), cells, checked, Z)
    assert (nothing.low[0], nothing.total[0]) == (0, 0)
    assert nothing.high[0] > 3.69 * 500 / 40  # of a Poisson number of which none was seen
    every = estimator.missed(found, squares, cells, cells, Z)
    assert (every.low[0], every.high[0]) == pytest.approx((6, 6))


def test_allocation_is_neymans_with_a_least():
    size = np.array([1000, 500, 40, 3])
    spread = np.array([0.2, 0.4, 0.4, 0.4])
    numbers = strata.allocated(size, spread, 200)
    assert numbers.sum() == 200
    assert numbers[3] == 3
    assert numbers[2] >= 5
    assert numbers[0] == pytest.approx(numbers[1], abs=1)
    assert strata.allocated(size, spread, 10_000).tolist() == size.tolist()
    assert strata.allocated(size, spread, 1).tolist() == [5, 5, 5, 3]


def test_each_unit_of_a_stratum_is_as_likely():
    labels = np.repeat([0, 1], [20, 80])
    seen = np.zeros(100)
    for seed in range(2000):
        seen[strata.drawn(labels, np.array([5, 8]), seed)] += 1
    assert stats.chisquare(seen[:20]).pvalue > 1e-4
    assert stats.chisquare(seen[20:]).pvalue > 1e-4
    assert (seen[:20].sum(), seen[20:].sum()) == (10_000, 16_000)


def test_strata_part_each_class_by_confidence():
    mapped = np.repeat([1, 2, 3], [60, 12, 4])
    sure = np.random.default_rng(0).random(76)
    labels = strata.by_class_and_confidence(mapped, sure, 200)
    for each in np.unique(labels):
        assert len(np.unique(mapped[labels == each])) == 1
    assert np.bincount(labels).tolist() == [20, 20, 20, 12, 4]
    assert sure[labels == 0].max() < sure[labels == 2].min()


@pytest.mark.parametrize("method", counts_coverage.METHODS)
@pytest.mark.parametrize(
    ("accuracy", "shares", "checked"),
    [(0.6, "even", 100), (0.75, "rare", 400), (0.85, "skewed", 200)],
)
def test_intervals_hold_the_truth_as_often_as_they_say(accuracy, shares, checked, method):
    setting = counts_coverage.Setting(accuracy, shares, checked, checked // 2, 2000)
    outcomes = counts_coverage.judged(setting, 600, 20, 0, method)
    assert {each.name for each in outcomes} == {*counts_coverage.CLASSES, "missed"}
    for each in outcomes:  # 0.95 and three and a half standard errors of 600 draws
        assert 0.92 <= each.coverage <= 0.98, each
        if each.name not in ("missed", "not-a-building"):
            assert each.width < 1.02 * each.plain_width


def test_where_hardly_an_error_is_seen_intervals_hold_more_than_they_say_and_never_less():
    setting = counts_coverage.Setting(0.95, "skewed", 100, 50, 2000)
    for each in counts_coverage.judged(setting, 600, 20, 0, "prediction-powered"):
        assert each.coverage >= 0.92

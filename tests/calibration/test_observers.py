"""Ranges as a stream, against the whole tensor and against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.observers import (
    BINS,
    METHODS,
    QUANTUM,
    EntropyObserver,
    MinMaxObserver,
    entropy_threshold,
    quantisation_divergence,
)


@settings(max_examples=30, deadline=None)
@given(
    parts=st.integers(1, 5),
    scale=st.floats(1e-6, 1e6),
    shift=st.floats(-3, 3),
    seed=st.integers(0, 1000),
)
def test_min_max_of_a_stream_is_that_of_the_whole(parts, scale, shift, seed) -> None:
    x = (torch.randn(parts, 50, generator=torch.Generator().manual_seed(seed)) + shift) * scale
    observer = MinMaxObserver()
    for part in x:
        observer.update(part)
    assert observer.minimum == x.min().item()
    assert observer.amax() == x.abs().max().item()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), growth=st.lists(st.floats(0.01, 100), min_size=1, max_size=6))
def test_histogram_loses_no_sample_when_its_range_grows(seed: int, growth: list[float]) -> None:
    generator = torch.Generator().manual_seed(seed)
    observer, total = EntropyObserver(), 0
    for scale in growth:
        x = torch.randn(500, generator=generator) * scale
        observer.update(x)
        total += x.numel()
    assert observer.counts.sum() == total
    assert observer.limit >= MinMaxObserver.amax(observer) * (1 - 1e-6)


def _brute_force_divergence(counts: list[float], kept: int) -> float:
    """The same quantity, bin by bin."""
    clipped = counts[:kept]
    clipped[-1] += sum(counts[kept:])
    levels: dict[int, list[int]] = {}
    for index in range(kept):
        levels.setdefault(index * QUANTUM // kept, []).append(index)
    spread = [0.0] * kept
    for members in levels.values():
        occupied = [i for i in members if counts[i] > 0]
        for i in occupied:
            spread[i] = sum(counts[j] for j in members) / len(occupied)
    p_sum, q_sum = sum(clipped), sum(spread)
    total = 0.0
    for p_count, q_count in zip(clipped, spread, strict=True):
        if p_count > 0:
            p, q = p_count / p_sum, max(q_count / max(q_sum, 1e-300), 1e-6)
            total += p * math.log(p / q)
    return total


@pytest.mark.parametrize("seed", range(4))
def test_divergence_and_threshold_agree_with_brute_force(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = np.abs(random.standard_t(2 + seed, 20_000))
    counts = np.histogram(values, BINS, (0, values.max()))[0].astype(float)
    for kept in (QUANTUM, 500, 1301, BINS):
        expected = _brute_force_divergence(counts.tolist(), kept)
        assert quantisation_divergence(counts, kept) == pytest.approx(expected, rel=1e-9)
    smoothed = counts.copy()
    smoothed[0] = smoothed[1]
    candidates = range(QUANTUM, BINS + 1, 16)
    best = min(candidates, key=lambda kept: _brute_force_divergence(smoothed.tolist(), kept))
    assert entropy_threshold(counts) == best


def test_entropy_cuts_a_lone_outlier_that_min_max_keeps() -> None:
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    x[0] = 100.0
    entropy, minmax = EntropyObserver(), MinMaxObserver()
    for observer in (entropy, minmax):
        observer.update(x)
    assert minmax.amax() == 100
    assert 2 < entropy.amax() < 20


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.0], 0.0),
        ([math.nan, 1.0], math.nan),
        ([math.inf, 1.0], math.inf),
        ([-5.0, -2.0], 5.0),
        ([3.0, 3.0], 3.0),
    ],
)
def test_degenerate_tensors(method: str, values: list[float], expected: float) -> None:
    observer = METHODS[method]()
    observer.update(torch.tensor([0.5]))
    observer = METHODS[method]()
    observer.update(torch.tensor(values))
    assert observer.amax() == pytest.approx(expected, rel=0.02, nan_ok=True)


def test_a_nan_in_any_part_of_the_stream_is_kept() -> None:
    for method in METHODS.values():
        observer = method()
        for value in (1.0, math.nan, 2.0):
            observer.update(torch.tensor([value]))
        assert math.isnan(observer.amax())

"""Ranges as a stream, against the whole tensor and against brute force."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import fx

from calibration.observe import observe
from calibration.observers import (
    BINS,
    METHODS,
    QUANTUM,
    RESOLUTION,
    Divergence,
    EntropyObserver,
    MinMaxObserver,
    MseObserver,
    PercentileObserver,
    entropy_threshold,
    expected_error,
    histogram,
)
from train.checkpoint import load_checkpoint
from train.model.dual_hrnet import normalise
from train.model.inference_form import inference_form
from train.quantisation.placement import sites
from train.xbd import find_tiles

HISTOGRAMS = sorted(set(METHODS) - {"minmax"})


def _observed(method: str, *parts: torch.Tensor) -> MinMaxObserver:
    observer = METHODS[method]()
    for part in parts:
        observer.update(part)
    return observer


def _fingerprint(observer: MinMaxObserver) -> tuple[float, float, float]:
    return observer.minimum, observer.maximum, observer.amax()


def _squared_error(values: np.ndarray, amax: float) -> float:
    """Mean over the values of what symmetric INT8 makes of them."""
    step = amax / 127
    return float(np.square(np.clip(np.rint(values / step), -127, 127) * step - values).mean())


@st.composite
def tensors(draw: Callable) -> torch.Tensor:
    """Of any shape and scale: normal, heavy-tailed or uniform; both signs, one, or after ReLU."""
    shape = draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["normal", "heavy", "uniform"]))
    x = {
        "normal": random.standard_normal,
        "heavy": lambda size: random.standard_t(3, size),
        "uniform": random.random,
    }[kind]([*shape, 40])
    sign = draw(st.sampled_from([lambda v: v, np.abs, lambda v: -np.abs(v), lambda v: v.clip(0)]))
    scale = 10 ** draw(st.floats(-12, 12))
    return torch.from_numpy(sign(x) * scale).float()


@settings(max_examples=30, deadline=None)
@given(x=tensors())
def test_min_max_of_a_stream_is_that_of_the_whole(x: torch.Tensor) -> None:
    observer = _observed("minmax", *x)
    expected = (x.min().item(), x.max().item(), x.abs().max().item())
    assert _fingerprint(observer) == expected


@pytest.mark.parametrize("method", sorted(METHODS))
@settings(max_examples=15, deadline=None)
@given(x=tensors(), order=st.randoms(use_true_random=False))
def test_a_stream_in_any_order_gives_exactly_what_the_whole_gives(
    method: str, x: torch.Tensor, order: object
) -> None:
    parts = list(x.flatten().split(97))
    order.shuffle(parts)
    assert _fingerprint(_observed(method, *parts)) == _fingerprint(_observed(method, x))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), growth=st.lists(st.floats(0.01, 1e6), min_size=1, max_size=6))
def test_histogram_loses_no_sample_when_its_range_grows(seed: int, growth: list[float]) -> None:
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randn(500, generator=generator) * scale for scale in growth]
    observer = _observed("entropy", *parts)
    assert observer.counts.sum() == 500 * len(growth)
    largest = MinMaxObserver.amax(observer)
    assert observer.limit / 2 <= largest < observer.limit
    values = torch.cat(parts).abs().double().numpy()
    expected, _ = np.histogram(values, RESOLUTION, (0, observer.limit))
    assert (observer.counts == expected).all()


def test_every_value_of_a_large_tensor_counts_once_in_any_memory_layout() -> None:
    x = torch.randn(2, 8, 200, 200, generator=torch.Generator().manual_seed(0))
    assert x.numel() > 2 * histogram._CHUNK
    layouts = (x, x.to(memory_format=torch.channels_last), x.transpose(0, 3), x[:, ::2])
    for layout in layouts:
        observer = _observed("mse", layout)
        expected = np.histogram(layout.abs().double().numpy(), RESOLUTION, (0, observer.limit))[0]
        assert (observer.counts == expected).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_types_are_observed_as_their_float32(dtype: torch.dtype) -> None:
    x = torch.randn(5000, generator=torch.Generator().manual_seed(0)).to(dtype)
    for method in METHODS:
        found, expected = _observed(method, x), _observed(method, x.float())
        assert _fingerprint(found) == _fingerprint(expected)


def test_the_accelerators_way_of_counting_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(70_000, generator=torch.Generator().manual_seed(0)) * 3
    expected = _observed("percentile", x).counts
    monkeypatch.setattr(histogram, "_count_on_processor", histogram._count_on_device)
    assert (_observed("percentile", x).counts == expected).all()


def _check_percentile(values: np.ndarray, observer: MinMaxObserver) -> None:
    """Against the smallest magnitude that at least 99.99 % do not exceed."""
    magnitudes = np.sort(np.abs(values))
    rank = math.ceil(len(magnitudes) * 0.9999 - 1e-6)
    exact, width = magnitudes[rank - 1], observer.limit / RESOLUTION
    if exact < width:  # next to nothing but zeros: nothing is cut
        exact = magnitudes[-1]
    assert abs(observer.amax() - exact) <= width * (1 + 1e-6)


def _check_mse(values: np.ndarray, observer: MinMaxObserver) -> None:
    """Against an exhaustive search on the values themselves."""
    largest = np.abs(values).max()
    best = min(_squared_error(values, a) for a in np.linspace(largest / 200, largest, 400))
    # What the search's own step and the bins may cost; the noise of few values comes on top.
    assert _squared_error(values, observer.amax()) <= best * 1.05 + 1e-30 * largest**2


def _check_entropy(values: np.ndarray, observer: MinMaxObserver) -> None:
    """Against loops over a histogram made anew from the values."""
    magnitudes = np.abs(values).astype(np.float64)
    fine, _ = np.histogram(magnitudes, RESOLUTION, (0, observer.limit))
    merged = math.ceil((np.flatnonzero(fine)[-1] + 1) / BINS)
    width = observer.limit / RESOLUTION * merged
    counts, _ = np.histogram(magnitudes, BINS, (0, width * BINS))
    counts[0] = counts[1]
    divergence = {
        kept: _brute_force_divergence(counts.tolist(), kept)
        for kept in range(QUANTUM, BINS + 1, 16)
    }
    kept = observer.amax() / width
    if observer.amax() < magnitudes.max():
        assert divergence[round(kept)] <= min(divergence.values()) + 1e-9
    else:  # not cut: the best keeps all there is
        assert min(divergence, key=divergence.get) * width >= observer.amax() * (1 - 1e-6)


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


CHECKS = {"percentile": _check_percentile, "mse": _check_mse, "entropy": _check_entropy}


class _Recorder(fx.Interpreter):
    """Every site's values, kept."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.names = {site.producer: site.name for site in sites(graph)}
        self.values: dict[str, list[torch.Tensor]] = {}

    def run_node(self, node: fx.Node) -> torch.Tensor:
        value = super().run_node(node)
        if node in self.names:
            self.values.setdefault(self.names[node], []).append(value.clone())
        return value


@pytest.fixture(scope="module")
def recorded(
    small_checkpoint: Path, synthetic: Path
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, MinMaxObserver]]]:
    """Of the small network on two tiles: all values of every site, and what each method saw.

    Channels-last as in `observe`: other kernels differ in the last bit.
    """
    layout = {"memory_format": torch.channels_last}
    network = load_checkpoint(small_checkpoint).network()
    tiles = find_tiles(synthetic, "train")[:2]
    graph = inference_form(network).to(**layout)
    recorder = _Recorder(graph)
    with torch.inference_mode():
        for tile in tiles:
            images = [torch.from_numpy(image)[None] for image in tile.images()]
            normalised = [normalise(image, network.config) for image in images]
            recorder.run(*[each.contiguous(**layout) for each in normalised])
    values = {
        name: torch.cat([part.flatten() for part in parts]).numpy()
        for name, parts in recorder.values.items()
    }
    return values, {method: observe(graph, network.config, tiles, method) for method in METHODS}


@pytest.mark.parametrize("method", HISTOGRAMS)
def test_ranges_of_recorded_activations_agree_with_brute_force(recorded, method: str) -> None:
    values, observers = recorded
    assert set(values) == set(observers[method])
    # Not every site: brute force takes its time.
    for name in sorted(values)[:: 16 if method == "entropy" else 8]:
        CHECKS[method](values[name], observers[method][name])


def test_every_recorded_value_was_counted(recorded) -> None:
    values, observers = recorded
    for name, each in observers["mse"].items():
        assert each.counts.sum() == len(values[name]), name
        assert each.minimum == values[name].min(), name
        assert each.maximum == values[name].max(), name


@settings(max_examples=40, deadline=None)
@given(x=tensors())
def test_percentile_is_exact_to_a_bin_at_any_shape_and_scale(x: torch.Tensor) -> None:
    if x.any():
        _check_percentile(x.double().flatten().numpy(), _observed("percentile", x))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(-12, 12), tail=st.integers(2, 30))
def test_mse_finds_what_an_exhaustive_search_finds(seed: int, scale: float, tail: int) -> None:
    values = np.random.default_rng(seed).standard_t(tail, 30_000) * 10**scale
    x = torch.from_numpy(values).float()
    _check_mse(x.double().numpy(), _observed("mse", x))


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(-12, 12), tail=st.integers(2, 30))
def test_entropy_finds_what_loops_find(seed: int, scale: float, tail: int) -> None:
    values = np.random.default_rng(seed).standard_t(tail, 20_000) * 10**scale
    x = torch.from_numpy(values).float()
    _check_entropy(x.double().numpy(), _observed("entropy", x))


@pytest.mark.parametrize("seed", range(4))
def test_divergence_and_threshold_agree_with_brute_force(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = np.abs(random.standard_t(2 + seed, 20_000))
    counts = np.histogram(values, BINS, (0, values.max()))[0].astype(float)
    for kept in (QUANTUM, 500, 1301, BINS):
        expected = _brute_force_divergence(counts.tolist(), kept)
        assert Divergence(counts)(kept) == pytest.approx(expected, rel=1e-9)
    smoothed = counts.copy()
    smoothed[0] = smoothed[1]
    candidates = range(QUANTUM, BINS + 1, 16)
    best = min(candidates, key=lambda kept: _brute_force_divergence(smoothed.tolist(), kept))
    assert entropy_threshold(counts) == best


def test_expected_error_is_the_error_of_evenly_filled_bins() -> None:
    counts = np.random.default_rng(0).integers(0, 5, 64).astype(float)
    counts[0] = 0
    amax = np.array([7.0, 30.0, 63.9, 64.0])
    inside = (np.arange(4000) + 0.5) / 4000
    values = np.concatenate([(index + inside) * 0.5 for index in range(64)])
    weights = np.repeat(counts, 4000) / 4000
    step = (amax * 0.5 / 127)[:, None]
    rounded = np.clip(np.rint(values / step), 0, 127) * step
    expected = np.square(rounded - values) @ weights
    assert expected_error(counts, 0.5, amax * 0.5) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("method", HISTOGRAMS)
def test_a_lone_outlier_that_min_max_keeps_is_cut(method: str) -> None:
    x = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0))
    x[0] = 50.0
    assert _observed("minmax", x).amax() == 50
    # Rounding to 50 / 127 costs more than the outlier does.
    assert 2 < _observed(method, x).amax() < 20


def test_a_range_cut_by_the_percentile_leaves_one_in_ten_thousand_outside() -> None:
    x = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0)).relu()
    outside = (x > _observed("percentile", x).amax()).double().mean()
    assert outside == pytest.approx(1e-4, rel=0.15)


def test_a_tensor_that_is_almost_all_zeros_keeps_its_largest_value() -> None:
    x = torch.zeros(1_000_000)
    x[:20] = torch.linspace(1, 4, 20)
    for method in ("percentile", "mse"):
        assert _observed(method, x).amax() == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.0], 0.0),
        ([math.nan, 1.0], math.nan),
        ([math.nan, math.inf], math.nan),
        ([math.inf, 1.0], math.inf),
        ([-math.inf, 1.0], math.inf),
        ([-5.0, -2.0], 5.0),
        ([3.0, 3.0], 3.0),
        ([-3.0, -3.0], 3.0),
        ([4.0, 4.0], 4.0),
        ([1e-38, 1e-38], 1e-38),
        ([3e38, -3e38], 3e38),
    ],
)
def test_degenerate_tensors(method: str, values: list[float], expected: float) -> None:
    found = _observed(method, torch.tensor(values)).amax()
    assert found == pytest.approx(expected, rel=0.02, abs=0, nan_ok=True)


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("position", range(3))
def test_a_broken_value_in_any_part_of_the_stream_is_kept(
    method: str, broken: float, position: int
) -> None:
    parts = [torch.tensor([1.0, 0.0]), torch.tensor([0.5, -2.0]), torch.tensor([3.0, 100.0])]
    parts[position][1] = broken
    found = _observed(method, *parts).amax()
    assert math.isnan(found) if math.isnan(broken) else found == math.inf


@pytest.mark.parametrize("method", sorted(METHODS))
def test_nothing_observed_is_a_range_of_zero(method: str) -> None:
    assert METHODS[method]().amax() == 0
    assert _observed(method, torch.empty(0, 3)).amax() == 0


def test_methods_are_known_by_name() -> None:
    expected = {
        "minmax": MinMaxObserver,
        "percentile": PercentileObserver,
        "entropy": EntropyObserver,
        "mse": MseObserver,
    }
    assert expected == METHODS

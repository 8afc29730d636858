"""What the latency suites share: the engine, its pairs, and how a figure is recorded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from benchmarks.engines import identify, open_or_reason
from benchmarks.latency import figures
from benchmarks.latency.sampling import Effort
from benchmarks.machine import describe_machine
from runtime import host
from runtime.engine import Engine
from runtime.errors import ToolkitError
from train.synthetic.scene import make_scene

SEED = 4_242
"""Of the synthetic scenes: what a picture shows does not change the time, its size does."""

Pairs = tuple[np.ndarray, np.ndarray]
"""Before and after, uint8 [N,H,W,3] each, of the engine's size."""


@pytest.fixture(scope="module")
def threads(request: pytest.FixtureRequest) -> int:
    return request.config.getoption("threads") or host.physical_cores()


@pytest.fixture(scope="module")
def effort(request: pytest.FixtureRequest) -> Effort:
    return Effort(request.config.getoption("seconds"), request.config.getoption("rounds"))


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest, threads: int) -> Iterator[Engine]:
    try:
        opened = open_or_reason(request.param, threads)
    except (ToolkitError, OSError) as error:
        pytest.fail(f"error: {error}", pytrace=False)
    if isinstance(opened, str):
        pytest.skip(f"compiled, not run: {opened}")
    with opened:
        yield opened


@pytest.fixture(scope="module")
def pairs_of(engine: Engine) -> Callable[[int], Pairs]:
    """As many different pairs as asked for."""
    height, width = engine.height, engine.width
    tiles = [
        make_scene(SEED, i, max(height, width)) for i in range(engine.manifest.input.batch.max)
    ]

    def pairs(count: int) -> Pairs:
        pre = np.stack([tile.pre[:height, :width] for tile in tiles[:count]])
        return pre, np.stack([tile.post[:height, :width] for tile in tiles[:count]])

    return pairs


@pytest.fixture
def times(request: pytest.FixtureRequest) -> deque[float]:
    """What the benchmark's clock will show: samples that were taken by turns are played back.

    pytest-benchmark can only take all samples of one call, then all of the next.
    """
    times: deque[float] = deque()

    def played_back() -> float:
        return times.popleft()

    request.applymarker(pytest.mark.benchmark(timer=played_back))
    return times


@pytest.fixture
def record(times: deque[float], benchmark, engine: Engine, threads: int) -> Callable[..., None]:
    """Give pytest-benchmark the samples, and say what they are samples of.

    `extra_info` then has scope, scenario, batch (pairs a call), batch_range of the engine,
    percentiles in seconds, whether the minimum of time and queries was met, size_bytes of the
    payload, threads, engine, machine.
    """

    def record(samples: Sequence[float], scope: str, scenario: str, batch: int, **more: Any):
        for seconds in samples:
            times.extend((0.0, seconds))
        benchmark.group = scope
        benchmark.pedantic(lambda: None, rounds=len(samples))
        p50, p90, p99 = figures.percentiles(samples)
        size = engine.manifest.input.batch
        benchmark.extra_info.update(
            scope=scope,
            scenario=scenario,
            p50=p50,
            p90=p90,
            p99=p99,
            batch=batch,
            batch_range={"min": size.min, "opt": size.opt, "max": size.max},
            minimum={**figures.MINIMUM, "met": figures.meets_minimum(samples)},
            size_bytes=engine.manifest.payload_bytes,
            threads=threads,
            engine={
                **identify(engine.folder, engine.manifest),
                "run_with": engine.backend_version,
            },
            machine=describe_machine(),
            **more,
        )

    return record

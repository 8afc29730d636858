"""What the latency suites share: the engines, their samples, and how a figure is recorded."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.engines import identify, open_or_reason
from benchmarks.latency import figures
from benchmarks.latency.measures import ColdStart, Layers, Raster, offline
from benchmarks.latency.sampling import Effort, Sampled, visit_all
from benchmarks.machine import describe_machine
from runtime import host
from runtime.engine import Engine
from runtime.errors import ToolkitError

Key = tuple[Path, str, int | None]
"""Of a measure: the engine's folder, the test's name, its batch where it has several."""


@pytest.fixture(scope="session")
def threads(request: pytest.FixtureRequest) -> int:
    return request.config.getoption("threads") or host.physical_cores()


@pytest.fixture(scope="session")
def engines(
    request: pytest.FixtureRequest, threads: int
) -> Iterator[dict[Path, Engine | str | Exception]]:
    """All of the command line, open at once; or the reason why one is not run, or its error."""
    with contextlib.ExitStack() as stack:
        found: dict[Path, Engine | str | Exception] = {}
        for folder in request.config.getoption("engine"):
            try:
                opened = open_or_reason(folder, threads)
                found[folder] = opened if isinstance(opened, str) else stack.enter_context(opened)
            except (ToolkitError, OSError) as error:
                found[folder] = error
        yield found


@pytest.fixture
def engine(request: pytest.FixtureRequest, engines: Mapping[Path, Engine | str | Exception]):
    found = engines[request.param]
    if isinstance(found, str):
        pytest.skip(f"compiled, not run: {found}")
    if isinstance(found, Exception):
        pytest.fail(f"error: {found}", pytrace=False)
    return found


@pytest.fixture(scope="session")
def measured(
    request: pytest.FixtureRequest,
    engines: Mapping[Path, Engine | str | Exception],
    threads: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[Key, Sampled | BaseException]:
    """What the chosen tests record, of all engines that run: measured together, by visits.

    Each with all its samples; or what ended it.
    """
    options = request.config.option
    effort = Effort(options.seconds, options.rounds)
    scenes = tmp_path_factory.mktemp("scenes")

    def make(engine: Engine, test: str, batch: int | None) -> Sampled:
        folder = tmp_path_factory.mktemp(test)
        if batch is not None:
            return Layers(engine, batch, effort, folder)
        if test == "test_offline":
            return offline(engine, effort)
        if test == "test_raster":
            pytest.importorskip("rasterio", reason="maps of rasters need rasterio")
            return Raster(engine, effort, scenes, folder)
        return ColdStart(engine, threads, effort)

    found: dict[Key, Sampled | BaseException] = {}
    chosen = [test for test in request.session.items if "measure" in test.fixturenames]
    for key in dict.fromkeys(map(_key, chosen)):
        opened = engines.get(key[0])
        if isinstance(opened, Engine):
            try:
                found[key] = make(opened, *key[1:])
            except (Exception, pytest.skip.Exception) as error:
                found[key] = error
    ready = {key: each for key, each in found.items() if not isinstance(each, BaseException)}
    return found | visit_all(ready)


def _key(test: pytest.Function) -> Key:
    parameters = test.callspec.params
    return parameters["engine"], test.originalname, parameters.get("batch")


@pytest.fixture
def measure(request: pytest.FixtureRequest, engine: Engine, measured) -> Sampled:
    """What was measured for this test."""
    found = measured[_key(request.node)]
    if isinstance(found, BaseException):
        raise found
    return found


@pytest.fixture
def times(request: pytest.FixtureRequest) -> deque[float]:
    """What the benchmark's clock will show: samples that were taken already are played back.

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

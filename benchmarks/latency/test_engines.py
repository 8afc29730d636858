"""Latency of engines in two scopes, see `benchmarks.latency.figures`.

    pytest benchmarks --engine DIR [--engine DIR2 ...] --benchmark-json latency.json

One sample is one call. p50 and p90 of the raw samples are in extra_info, with the
engine, the machine, the threads and the batch that they hold for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.engines import identify, open_or_reason
from benchmarks.latency import figures as latency
from benchmarks.machine import describe_machine
from runtime import host
from runtime.engine import Engine
from runtime.errors import ToolkitError
from runtime.images import read_pair, write_png
from train.synthetic.scene import make_scene

SEED = 4_242
"""Of the synthetic scenes: what a picture shows does not change the time, its size does."""


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    try:
        opened = open_or_reason(request.param, request.config.getoption("threads"))
    except (ToolkitError, OSError) as error:
        pytest.fail(f"error: {error}", pytrace=False)
    if isinstance(opened, str):
        pytest.skip(f"compiled, not run: {opened}")
    with opened:
        yield opened


@pytest.fixture(scope="module")
def scenes(engine: Engine) -> list[tuple[np.ndarray, np.ndarray]]:
    """As many pairs as the engine was tuned for, uint8 [H,W,3] each, of its size."""
    height, width = engine.height, engine.width
    tiles = [
        make_scene(SEED, i, max(height, width)) for i in range(engine.manifest.input.batch.opt)
    ]
    return [(tile.pre[:height, :width], tile.post[:height, :width]) for tile in tiles]


@pytest.mark.benchmark(group=latency.ENGINE)
def test_engine(benchmark, engine: Engine, scenes, request: pytest.FixtureRequest) -> None:
    pre, post = (np.ascontiguousarray(images) for images in zip(*scenes, strict=True))

    def call() -> None:
        engine.predict(pre, post)

    _measure(benchmark, call, engine, latency.ENGINE, len(scenes), request.config)


@pytest.mark.benchmark(group=latency.END_TO_END)
def test_end_to_end(
    benchmark, engine: Engine, scenes, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    paths = []
    for index, pair in enumerate(scenes):
        paths.append((tmp_path / f"{index}_pre.png", tmp_path / f"{index}_post.png"))
        for path, image in zip(paths[-1], pair, strict=True):
            write_png(path, image)

    def call() -> None:
        pre, post = zip(*(read_pair(*each) for each in paths), strict=True)
        result = engine.predict(np.stack(pre), np.stack(post))
        for index, damage in enumerate(result.damage):
            write_png(tmp_path / f"{index}_damage.png", damage)

    _measure(benchmark, call, engine, latency.END_TO_END, len(scenes), request.config)


def _measure(
    benchmark,
    call: Callable[[], None],
    engine: Engine,
    scope: str,
    batch: int,
    config: pytest.Config,
) -> None:
    """Warm up, decide how often, take the samples, and say what they are samples of."""
    for _ in range(latency.WARMUP):
        start = time.perf_counter()
        call()
        seconds = time.perf_counter() - start
    rounds = config.getoption("rounds") or latency.rounds_for(seconds)
    benchmark.pedantic(call, rounds=rounds, iterations=1)
    p50, p90 = latency.percentiles(benchmark.stats.stats.data)
    benchmark.extra_info.update(
        scope=scope,
        p50=p50,
        p90=p90,
        batch=batch,
        threads=config.getoption("threads") or host.physical_cores(),
        engine={
            **identify(engine.folder, engine.manifest),
            "run_with": engine.backend_version,
        },
        machine=describe_machine(),
    )

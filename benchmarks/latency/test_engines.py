"""Latency and throughput of engines; the scopes are in `benchmarks.latency.figures`.

    pytest benchmarks --engine DIR [--engine DIR2 ...] --benchmark-json latency.json

One sample is one call. The raw samples are in the file, and with them what they hold for:
the engine, the machine, the threads and the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.latency import figures
from benchmarks.latency.sampling import Effort, stream, take_turns
from runtime.engine import Engine
from runtime.images import read_pair, write_png


@pytest.fixture(scope="module")
def layers(
    engine: Engine,
    batch: int,
    pairs_of,
    effort: Effort,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, list[float]]:
    """Samples of each of the three scopes, taken by turns."""
    pre, post = pairs_of(batch)
    folder = tmp_path_factory.mktemp("layers")
    calls = {
        figures.ENGINE: _inference(engine, pre, post),
        figures.COPIES: lambda: engine.predict(pre, post),
        figures.END_TO_END: _files(engine, pre, post, folder),
    }
    return take_turns(calls, effort)


@pytest.mark.parametrize("scope", figures.LAYERS)
def test_query_after_query(record, layers, batch: int, scope: str) -> None:
    scenario = figures.SINGLE_STREAM if batch == 1 else figures.MULTI_STREAM
    record(layers[scope], scope, scenario, batch)


def test_offline(record, engine: Engine, pairs_of, effort: Effort) -> None:
    """All pairs at once, in the largest batches that the engine takes."""
    batch = engine.manifest.input.batch.max
    samples = stream(engine, *pairs_of(batch), effort)
    throughput = batch * len(samples) / sum(samples)
    record(samples, figures.COPIES, figures.OFFLINE, batch, pairs_per_second=throughput)


def _inference(engine: Engine, pre: np.ndarray, post: np.ndarray) -> Callable[[], object]:
    """What is below `predict`; it has no public name."""
    backend = engine._backend
    assert backend
    if hasattr(backend, "compute"):
        engine.predict(pre, post)  # now the device has what it computes on
        return backend.compute
    maps = tuple(np.empty(pre.shape[:-1], np.uint8) for _ in range(3))
    return lambda: backend.infer(pre, post, maps)


def _files(engine: Engine, pre: np.ndarray, post: np.ndarray, folder: Path) -> Callable[[], object]:
    """PNG files in, PNG files out."""
    paths = []
    for index, pair in enumerate(zip(pre, post, strict=True)):
        paths.append((folder / f"{index}_pre.png", folder / f"{index}_post.png"))
        for path, image in zip(paths[-1], pair, strict=True):
            write_png(path, image)

    def call() -> None:
        pre, post = zip(*(read_pair(*each) for each in paths), strict=True)
        result = engine.predict(np.stack(pre), np.stack(post))
        for index, damage in enumerate(result.damage):
            write_png(folder / f"{index}_damage.png", damage)

    return call

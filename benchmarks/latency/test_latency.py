"""Latency, throughput and memory of engines; the scopes are in `benchmarks.latency.figures`.

    pytest benchmarks --engine DIR [--engine DIR2 ...] --benchmark-json latency.json

One sample is one call. The raw samples are in the file, and with them what they hold for:
the engine, the machine, the threads and the batch. All engines and figures are measured
together, each in `benchmarks.latency.sampling.VISITS` parts spread over the run.
"""

from __future__ import annotations

import pytest

from benchmarks.latency import figures
from benchmarks.latency.measures import ColdStart, Layers, Raster
from benchmarks.latency.sampling import Stream
from benchmarks.scene import GSD_M
from runtime.engine import Engine


@pytest.mark.parametrize("scope", figures.LAYERS)
def test_query_after_query(record, measure: Layers, batch: int, scope: str) -> None:
    scenario = figures.SINGLE_STREAM if batch == 1 else figures.MULTI_STREAM
    record(measure.seconds[scope], scope, scenario, batch)


def test_offline(record, measure: Stream, engine: Engine) -> None:
    """All pairs at once, in the largest batches that the engine takes."""
    samples, batch = measure.seconds[figures.COPIES], engine.manifest.input.batch.max
    throughput = batch * len(samples) / sum(samples)
    record(samples, figures.COPIES, figures.OFFLINE, batch, pairs_per_second=throughput)


def test_raster(record, measure: Raster) -> None:
    """Square kilometres a minute."""
    samples = measure.seconds[figures.RASTER]
    record(
        samples,
        figures.RASTER,
        figures.BY_ITSELF,
        1,
        side_pixels=measure.side,
        windows=measure.summary["windows"],
        gsd_m=GSD_M,
        area_km2=measure.area_km2,
        km2_per_minute=60 * measure.area_km2 / figures.percentiles(samples)[0],
    )


def test_cold_start(record, measure: ColdStart, engine: Engine) -> None:
    """How long to the first result, and how much memory."""
    batch = engine.manifest.input.batch.min
    record(
        measure.seconds[figures.COLD], figures.COLD, figures.BY_ITSELF, batch,
        peak_bytes=measure.peak_bytes,
    )  # fmt: skip

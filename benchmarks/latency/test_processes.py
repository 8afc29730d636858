"""What an engine costs a process of its own: time to the first result, and memory."""

from __future__ import annotations

from benchmarks.latency import figures, process
from benchmarks.latency.sampling import Effort
from runtime.engine import Engine


def test_cold_start(record, engine: Engine, threads: int, effort: Effort) -> None:
    """The files are in the system's cache from the second process on; the first is left out."""
    peak = process.peak_bytes(engine.folder, threads)
    samples = [process.seconds_to_first_result(engine.folder, threads) for _ in range(effort.calls)]
    batch = engine.manifest.input.batch.min
    record(samples, figures.COLD, figures.BY_ITSELF, batch, peak_bytes=peak)

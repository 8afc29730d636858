"""Time one engine in a process of its own: the network alone, with copies, from file to file."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from runtime import cli


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.gpu_record.timing", description=__doc__)
    p.add_argument("--engine", required=True, type=Path, metavar="DIR", help="engine folder")
    p.add_argument(
        "--seconds", type=float, default=10, metavar="S", help="of samples (default: 10)"
    )
    return p


def print_times(args: argparse.Namespace) -> None:
    print(json.dumps(timed(args.engine, args.seconds)))


def timed(folder: Path, seconds: float) -> dict[str, Any]:
    """JSON-ready: the engine, whether it ran as one CUDA graph, and seconds by scope (see
    `benchmarks.latency.figures`), with the raw samples."""
    from benchmarks.engines import identify
    from benchmarks.latency.figures import percentiles
    from benchmarks.latency.measures import Layers
    from benchmarks.latency.sampling import VISITS, Effort
    from runtime.engine import load_engine

    with load_engine(folder) as engine, tempfile.TemporaryDirectory() as scratch:
        layers = Layers(engine, engine.manifest.input.batch.min, Effort(seconds), Path(scratch))
        for visit in range(1, VISITS + 1):
            layers.go_on(visit)
        return {
            "engine": {**identify(folder, engine.manifest), "run_with": engine.backend_version},
            "graph": getattr(engine._backend, "has_graphs", None),
            "scopes": {
                scope: {
                    **dict(zip(("p50", "p90", "p99"), percentiles(taken), strict=True)),
                    "seconds": taken,
                }
                for scope, taken in layers.seconds.items()
            },
        }


if __name__ == "__main__":
    cli.run(parser(), print_times)

"""Time what the runtime adds to the inference library.

In one run: `Engine.predict` beside the time that its backend spends in the library; the
largest allocation of a call that is given an earlier result; and, in processes of their own,
`import runtime` beside `import numpy`, and an engine from the start of Python to its first
result.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from runtime import cli
from runtime.errors import ConfigError

if TYPE_CHECKING:
    from runtime.engine import Engine

STARTS = 9

FIRST_RESULT = """
import sys, numpy
from runtime import load_engine
with load_engine(sys.argv[1]) as engine:
    image = numpy.zeros((engine.height, engine.width, 3), numpy.uint8)
    engine.predict(image, image)
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    p.add_argument("--engine", required=True, type=Path, metavar="DIR", help="engine folder")
    p.add_argument(
        "--calls", type=int, default=100, metavar="N", help="calls to time (default: 100)"
    )
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    if args.calls < 1:
        raise ConfigError(f"--calls {args.calls}: expected at least 1")
    from benchmarks.machine import describe_machine
    from runtime.engine import load_engine

    with load_engine(args.engine) as engine:
        record = {"engine": str(args.engine), "machine": describe_machine()}
        record |= measure(engine, args.calls)
    record["import_numpy_s"], record["import_runtime_s"] = starts("import numpy", "import runtime")
    (record["first_result_s"],) = starts(FIRST_RESULT, arguments=[str(args.engine)])
    print(json.dumps(record, indent=2) if args.json else table(record))


def measure(engine: Engine, calls: int) -> dict[str, Any]:
    """Medians of seconds a call, and the peak of bytes that a call allocates in Python."""
    import numpy as np

    random = np.random.default_rng(0)
    pair = random.integers(0, 256, (2, engine.height, engine.width, 3), np.uint8)
    result = engine.predict(*pair)
    backend = engine._backend  # the scope below `predict` has no public name
    assert backend
    infer, inside = backend.infer, []

    def timed(*given: Any) -> None:
        start = time.perf_counter()
        infer(*given)
        inside.append(time.perf_counter() - start)

    backend.infer = timed  # type: ignore[method-assign]
    whole = []
    for _ in range(calls):
        start = time.perf_counter()
        engine.predict(*pair, out=result)
        whole.append(time.perf_counter() - start)
    added = median(total - library for total, library in zip(whole, inside, strict=True))
    tracemalloc.start()
    engine.predict(*pair, out=result)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    engine.predict(*pair, out=result)
    allocated = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return {
        "predict_s": median(whole),
        "library_s": median(inside),
        "added_s": added,
        "added_share": added / median(inside),
        "allocated_bytes": allocated,
        "image_bytes": pair[0].nbytes,
    }


def starts(*codes: str, arguments: list[str] | None = None) -> list[float]:
    """Median seconds of Python processes that run each code; they take turns."""
    seconds: list[list[float]] = [[] for _ in codes]
    for _ in range(STARTS):
        for code, times in zip(codes, seconds, strict=True):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code, *(arguments or [])], check=True)
            times.append(time.perf_counter() - start)
    return [median(times) for times in seconds]


def table(record: dict[str, Any]) -> str:
    return (
        f"predict {1e3 * record['predict_s']:.3f} ms, of that in the library "
        f"{1e3 * record['library_s']:.3f} ms; added {1e3 * record['added_s']:.3f} ms "
        f"({record['added_share']:.2%})\n"
        f"allocated by a call with out=: {record['allocated_bytes']} bytes "
        f"(an image: {record['image_bytes']})\n"
        f"import runtime: {1e3 * record['import_runtime_s']:.0f} ms, import numpy: "
        f"{1e3 * record['import_numpy_s']:.0f} ms\n"
        f"start of Python to first result: {record['first_result_s']:.2f} s"
    )


if __name__ == "__main__":
    cli.run(parser(), main)

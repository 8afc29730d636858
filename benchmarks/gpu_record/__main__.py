"""Measure a machine with an NVIDIA GPU, once, into one record.

The GPU tests are run; what the machine can build is built, compared with FP32 on a processor on
synthetic scenes, and timed. What could not be done is in the record with its reason. It is written
after every step, and printed at the end with the row for the table of targets.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli
from runtime.errors import ConfigError
from runtime.manifest import STRIDE

if TYPE_CHECKING:
    from benchmarks.gpu_record.plan import Box, Job
    from benchmarks.gpu_record.work import Layout

ARCHITECTURES = ("si-analytics", "dual-hrnet")


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.gpu_record", description=__doc__)
    add = p.add_argument
    add("--out", required=True, type=Path, metavar="FILE", help="the record, JSON")
    add(
        "--widths", type=int, nargs="+", default=[48, 32], metavar="W",
        help="networks to time (default: 48 32)",
    )  # fmt: skip
    add(
        "--sides", type=int, nargs="+", default=[1024, 512], metavar="PX",
        help="sizes to time, multiples of 32 (default: 1024 512)",
    )  # fmt: skip
    add(
        "--architecture", choices=ARCHITECTURES, default=ARCHITECTURES[0],
        help="network to time (default: si-analytics)",
    )  # fmt: skip
    add("--seconds", type=float, default=10, metavar="S", help="for each time (default: 10)")
    add("--scratch", type=Path, metavar="DIR", help="folder to work in (default: a temporary one)")
    add(
        "overrides", nargs="*", metavar="key=value",
        help="changes of the configuration that the compared network is trained with",
    )  # fmt: skip
    return p


def main(args: argparse.Namespace) -> int:
    from benchmarks.gpu_record.box import gpu_here, look
    from runtime.files import check_file

    for side in args.sides:
        if side < STRIDE or side % STRIDE:
            raise ConfigError(f"--sides {side}: expected a positive multiple of {STRIDE}")
    gpu = gpu_here()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    check_file(args.out)
    with _scratch(args.scratch) as layout:
        record = measure(args, layout, look(gpu))
    from benchmarks.gpu_record.table import text

    print(text(record))
    failed = "error" in record["tests"] or record["tests"]["failed"]
    steps = (*record["comparisons"], *record["latency"])
    return int(bool(failed) or not steps or any("error" in each for each in steps))


def measure(args: argparse.Namespace, layout: Layout, box: Box) -> dict[str, Any]:
    """All steps, one after the other; the record is written after each."""
    from benchmarks.gpu_record import plan, work
    from benchmarks.gpu_record.box import describe_gpu, gpu_here
    from benchmarks.machine import describe_machine
    from runtime.files import write_json

    taken, skipped = plan.targets(box)
    record: dict[str, Any] = {
        "kind": "gpu",
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "gpu": describe_gpu(gpu_here()),
        "machine": describe_machine(),
        "targets": list(taken),
        "skipped": [asdict(each) for each in skipped],
        "tests": {"error": "not reached"},
        "training": {"error": "not reached"},
        "comparisons": [],
        "latency": [],
    }

    def step(
        name: str, key: str, what: Callable[[], dict[str, Any]], job: Job | None = None
    ) -> None:
        cli.note(name)
        found = work.attempt(what)
        if "error" in found:
            cli.note(f"  {found['error']}")
        if job is None:
            record[key] = found
        else:
            record[key].append({"job": asdict(job), **found})
        write_json(args.out, record)

    step("the GPU tests", "tests", lambda: work.run_tests(layout))
    if taken:
        step("a small network", "training", lambda: work.train(layout, args.overrides))
    if "error" not in record["training"]:
        for job in plan.jobs(box, [0], [work.SIDE]):
            what = functools.partial(work.compare, layout, job)
            step(f"comparing {job.name}", "comparisons", what, job)
    for job in plan.jobs(box, args.widths, args.sides):
        what = functools.partial(work.time_engine, layout, job, args.architecture, args.seconds)
        step(f"timing {job.name}", "latency", what, job)
    return record


@contextlib.contextmanager
def _scratch(given: Path | None) -> Iterator[Layout]:
    from benchmarks.gpu_record.work import Layout

    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield Layout(given.absolute())
        return
    with tempfile.TemporaryDirectory(prefix="dual-hrnet-gpu-") as name:
        yield Layout(Path(name))


if __name__ == "__main__":
    cli.run(parser(), main)

"""Time the windows of a scene one at a time, in batches, and several at once.

The ways take turns in one process, each with an engine of its own: "single" gives the engine one
window after the other, which one of a fixed batch fills up with copies. Ratios are medians over the
turns, to "latency" of the same turn. Peak memory is that of the command runtime.predict (Linux).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Generator, Iterable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from runtime import cli
from runtime.errors import ConfigError

if TYPE_CHECKING:
    from runtime.backends import Mode
    from runtime.engine import Engine, Pair, Prediction

MODES: tuple[Mode, ...] = ("latency", "throughput", "auto")


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    p.add_argument(
        "--engine", required=True, type=Path, nargs="+", metavar="DIR", help="engine folders"
    )
    p.add_argument(
        "--size", type=int, default=2048, metavar="S",
        help="side of the raster, pixels (default: 2048)",
    )  # fmt: skip
    p.add_argument(
        "--turns", type=int, default=5, metavar="N",
        help="of each way, after one that is not counted (default: 5)",
    )  # fmt: skip
    p.add_argument(
        "--scratch", type=Path, metavar="DIR",
        help="folder for the raster and maps (default: a temporary one)",
    )  # fmt: skip
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    for name in ("size", "turns"):
        if getattr(args, name) < 1:
            raise ConfigError(f"--{name} is {getattr(args, name)}; expected 1 or more")
    from benchmarks.machine import describe_machine
    from benchmarks.scene import make_pair

    cli.prepare_opencv()
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        make_pair(Path(scratch), args.size)
        rows = [
            row
            for engine in args.engine
            for row in measure(engine, Path(scratch), args.size, args.turns)
        ]
    record = {"size": args.size, "machine": describe_machine(), "ways": rows}
    print(json.dumps(record, indent=2) if args.json else table(rows))


class Single:
    """An engine that is given one window after the other."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def predict_many(self, pairs: Iterable[Pair]) -> Generator[Prediction, None, None]:
        import numpy as np

        from runtime.backends.contract import OUTPUTS
        from runtime.engine import Prediction

        for pre, post in pairs:
            if pre.ndim == 3:
                yield self._engine.predict(pre, post)
                continue
            each = [self._engine.predict(*pair) for pair in zip(pre, post, strict=True)]
            yield Prediction(*(np.stack([getattr(one, name) for one in each]) for name in OUTPUTS))


def measure(folder: Path, scratch: Path, size: int, turns: int) -> list[dict[str, Any]]:
    """A row for each way of this engine."""
    from benchmarks.engines import name_of
    from benchmarks.scene import mapped, run_command
    from runtime.engine import load_engine
    from runtime.manifest import Manifest
    from runtime.options import MapOptions

    target = Manifest.read(folder).target.backend
    modes = MODES if target == "openvino" else MODES[:1]
    # First: a child's peak is at least what this process has when it starts it.
    peaks = {
        mode: run_command(folder, scratch, size, "--mode", mode)["peak_bytes"] for mode in modes
    }
    with ExitStack() as stack:
        engines: dict[str, Any] = {
            mode: stack.enter_context(load_engine(folder, mode=mode)) for mode in modes
        }
        ways = {"single": Single(engines["latency"]), **engines}
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        pair = [scratch / f"{name}-{size}.tif" for name in ("pre", "post")]
        summary: dict[str, Any] = {}
        for turn in range(turns + 1):
            for way, engine in ways.items():
                took, summary = mapped(engine, pair, scratch / "map", MapOptions())
                if turn:
                    seconds[way].append(took)
    return [
        {
            "engine": name_of(folder),
            "way": way,
            "windows": summary["windows"],
            "seconds": taken,
            "windows_a_second": summary["windows"] / median(taken),
            "ratio": median(
                latency / own for latency, own in zip(seconds["latency"], taken, strict=True)
            ),
            "peak_bytes": peaks.get(way),
        }
        for way, taken in seconds.items()
    ]


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"{'engine':<24}{'way':<12}{'windows':>8}{'windows/s':>11}{'ratio':>7}{'peak, MiB':>11}"
    ]
    for row in rows:
        peak = f"{row['peak_bytes'] / 2**20:.0f}" if row["peak_bytes"] else "-"
        lines.append(
            f"{row['engine']:<24}{row['way']:<12}{row['windows']:>8}"
            f"{row['windows_a_second']:>11.1f}{row['ratio']:>7.2f}{peak:>11}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)

"""Measure what observing ranges costs beside a forward pass.

Time: tiles are observed and passed through the eager network, batch norm included, in
alternation. Memory (on Linux): a process of its own for the forward pass and for each
method, so that a peak is its own. Tiles are random and in memory: decoding is not measured.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.child import MALLOC, NO_STATUS, STATUS, own_peak, run_module
from runtime import cli
from runtime.errors import ConfigError
from runtime.manifest import STRIDE

if TYPE_CHECKING:
    from train.model import DualHRNet
    from train.xbd import Tile

METHODS = ("minmax", "percentile", "entropy", "mse")
FORWARD = "forward"
MIB = 2**20


@dataclass(frozen=True)
class Timing:
    """Seconds. `ratio` is that of all tiles: observing and settling the ranges, to forward."""

    method: str
    forward: float
    """A forward pass, the median."""
    observe: float
    """A tile observed, the median."""
    settle: float
    """From what was observed to every amax, once."""
    ratio: float


@dataclass
class _Stopwatch:
    forward: list[float] = field(default_factory=list)
    observe: list[float] = field(default_factory=list)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.calibration_cost", description=__doc__)
    p.add_argument(
        "--width", type=int, default=32, metavar="W", help="width of the network (default: 32)"
    )
    p.add_argument(
        "--size", type=int, default=512, metavar="S", help="side of an image, pixels (default: 512)"
    )
    p.add_argument("--tiles", type=int, default=16, metavar="N", help="tiles to time (default: 16)")
    p.add_argument("--method", choices=METHODS, help="only this one (default: all)")
    p.add_argument(
        "--memory-tiles", type=int, nargs="*", default=[8, 32], metavar="N",
        help="measure the peak over so many tiles (default: 8 32); nothing: leave memory out",
    )  # fmt: skip
    p.add_argument("--json", action="store_true", help="print the figures as JSON alone")
    p.add_argument("--peak-of", choices=(FORWARD, *METHODS), help=argparse.SUPPRESS)
    return p


def main(args: argparse.Namespace) -> None:
    from benchmarks.machine import describe_machine

    _check(args)
    if args.peak_of:  # in the process started by `_peak_of`
        print(run_alone(args.peak_of, args.width, args.size, args.tiles))
        return
    methods = [args.method] if args.method else list(METHODS)
    timings = []
    for method in methods:
        timings.append(measure_time(method, args.width, args.size, args.tiles))
        cli.note(f"{method}: {timings[-1].ratio:.2f} times the forward passes")
    record: dict[str, Any] = {
        **{"width": args.width, "size": args.size, "tiles": args.tiles},
        "machine": describe_machine(),
        "time": [asdict(timing) for timing in timings],
        "memory": _memory(methods, args) if args.memory_tiles else None,
    }
    if not args.json:
        cli.note(_table(record))
    print(json.dumps(record, indent=2))


def measure_time(method: str, width: int, size: int, count: int) -> Timing:
    """In this process, `count` forward passes and `count` tiles observed, by turns."""
    from calibration.observe import observe
    from train.model.inference_form import inference_form

    network, watch = _network(width), _Stopwatch()
    graph = inference_form(network)
    # A first tile of each, untimed: memory and kernels are set up.
    observe(graph, network.config, _alternating(network, size, 1, _Stopwatch()), method)
    tiles = _alternating(network, size, count, watch)
    observers = observe(graph, network.config, tiles, method)
    start = time.perf_counter()
    for observer in observers.values():
        observer.amax()
    settle = time.perf_counter() - start
    forward, seen = median(watch.forward), median(watch.observe)
    return Timing(method, forward, seen, settle, (count * seen + settle) / (count * forward))


def run_alone(what: str, width: int, size: int, count: int) -> int:
    """Forward passes, or a method, over `count` tiles; this process's peak in bytes."""
    from calibration.observe import observe
    from train.model.inference_form import inference_form

    network = _network(width)
    if what == FORWARD:
        for tile in _tiles(size, count):
            _forward(network, tile)
    else:
        graph = inference_form(network)
        for observer in observe(graph, network.config, _tiles(size, count), what).values():
            observer.amax()
    return own_peak()


def _network(width: int) -> DualHRNet:
    from train.model import ModelConfig, build_network

    return build_network(ModelConfig(width=width), seed=0).eval()


def _forward(network: DualHRNet, tile: Tile) -> None:
    import torch

    from train.model.dual_hrnet import normalise

    with torch.inference_mode():
        images = [torch.from_numpy(image)[None] for image in tile.images()]
        network(*[normalise(image, network.config) for image in images])


def _tiles(size: int, count: int) -> Iterator[Tile]:
    """Of noise, each made when it is asked for."""
    import numpy as np

    from train.xbd import Tile

    class Noise(Tile):
        def images(self) -> tuple[np.ndarray, np.ndarray]:
            random = np.random.default_rng(int(self.name))
            pre, post = random.integers(0, 256, (2, size, size, 3), np.uint8)
            return pre, post

    for index in range(count):
        yield Noise(str(index), "noise", Path("pre"), Path("post"), None, None)


def _alternating(network: DualHRNet, size: int, count: int, watch: _Stopwatch) -> Iterator[Tile]:
    """Tiles to observe; before each is handed out, the network runs on it."""
    for tile in _tiles(size, count):
        start = time.perf_counter()
        _forward(network, tile)
        handed_out = time.perf_counter()
        yield tile
        watch.observe.append(time.perf_counter() - handed_out)
        watch.forward.append(handed_out - start)


def _memory(methods: Sequence[str], args: argparse.Namespace) -> list[dict[str, Any]]:
    """Peaks, and how far above that of the forward pass they are, per number of tiles."""
    found = []
    for count in args.memory_tiles:
        forward = _peak_of(FORWARD, count, args)
        for method in methods:
            peak = _peak_of(method, count, args)
            figures = {"peak_bytes": peak, "forward_bytes": forward, "above_bytes": peak - forward}
            found.append({"method": method, "tiles": count, **figures})
    return found


def _peak_of(what: str, count: int, args: argparse.Namespace) -> int:
    arguments = ["--peak-of", what, "--width", args.width, "--size", args.size, "--tiles", count]
    named = f"{what}, {count} tiles"
    return int(run_module(named, "benchmarks.calibration_cost", arguments, MALLOC))


def _check(args: argparse.Namespace) -> None:
    if args.size < STRIDE or args.size % STRIDE:
        raise ConfigError(f"--size {args.size}: expected a positive multiple of {STRIDE}")
    if min([args.tiles, *args.memory_tiles]) < 1:
        raise ConfigError("--tiles and --memory-tiles: expected 1 or more")
    if args.memory_tiles and not STATUS.exists():
        raise ConfigError(f"{NO_STATUS}, leave it out")


def _table(record: dict[str, Any]) -> str:
    lines = [f"{'method':<12}{'forward s':>10}{'observe s':>10}{'settle s':>10}{'ratio':>7}"]
    for t in record["time"]:
        lines.append(
            f"{t['method']:<12}{t['forward']:>10.3f}{t['observe']:>10.3f}{t['settle']:>10.3f}"
            f"{t['ratio']:>7.2f}"
        )
    if record["memory"]:
        lines.append(f"{'method':<12}{'tiles':>6}{'peak MiB':>10}{'above forward MiB':>19}")
    for m in record["memory"] or []:
        lines.append(
            f"{m['method']:<12}{m['tiles']:>6}{m['peak_bytes'] / MIB:>10.0f}"
            f"{m['above_bytes'] / MIB:>19.0f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)

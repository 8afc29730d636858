"""Engines against PyTorch on this processor: ``python -m benchmarks.against_pytorch``.

Two scopes. End to end: two uint8 images in memory to three uint8 maps. Network alone: of
PyTorch, the network on images that are normalised already, to logits at full size; of an
engine, the same call, because it has no part that could be left out. All take turns in one
process with the same weights, images and threads.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli
from runtime.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from runtime.engine import Engine
    from train.model import DualHRNet

SEED = 4_242
PAUSE = 0.3
"""Seconds between two calls, in which one library's threads stop spinning for work."""

END_TO_END, ALONE = "PyTorch, end to end", "PyTorch, network alone"


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.against_pytorch", description=__doc__)
    p.add_argument("--checkpoint", required=True, type=Path, metavar="CKPT")
    p.add_argument(
        "--engine", required=True, action="append", type=Path, metavar="DIR", help="repeatable"
    )
    p.add_argument("--rounds", type=int, default=5, metavar="N", help="turns (default: 5)")
    p.add_argument("--threads", type=int, metavar="N", help="default: physical cores")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    if args.rounds < 1:
        raise ConfigError(f"--rounds {args.rounds}: expected at least 1")
    import contextlib

    import torch

    from benchmarks.engines import name_of
    from benchmarks.machine import describe_machine
    from runtime import host
    from runtime.engine import load_engine
    from runtime.files import sha256
    from train.checkpoint import load_checkpoint
    from train.synthetic.scene import make_scene

    threads = args.threads or host.physical_cores()
    torch.set_num_threads(threads)
    network, digest = load_checkpoint(args.checkpoint).network(), sha256(args.checkpoint)
    with contextlib.ExitStack() as stack:
        engines = [stack.enter_context(load_engine(each, threads)) for each in args.engine]
        _check(engines, digest)
        height, width = engines[0].height, engines[0].width
        scene = make_scene(SEED, 0, max(height, width))
        pair = scene.pre[:height, :width], scene.post[:height, :width]
        calls = {**_pytorch(network, *pair)}
        for folder, engine in zip(args.engine, engines, strict=True):
            calls[name_of(folder)] = lambda e=engine: e.predict(*pair)
        seconds = take_turns(calls, args.rounds)
    record = {
        "size": [height, width],
        "rounds": args.rounds,
        "threads": threads,
        "machine": describe_machine(),
        "figures": figures(seconds),
    }
    print(json.dumps(record, indent=2) if args.json else table(record["figures"]))


def take_turns(
    calls: dict[str, Callable[[], Any]], rounds: int, pause: float = PAUSE
) -> dict[str, list[float]]:
    """Seconds of each call, by name; every call runs once a round, after one round unseen."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            time.sleep(pause)
            start = time.perf_counter()
            call()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def figures(seconds: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Medians, and how many times faster than each of PyTorch's scopes."""
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return [
        {
            "what": name,
            "median_s": medians[name],
            "samples_s": seconds[name],
            "faster_end_to_end": medians[END_TO_END] / medians[name],
            "faster_alone": medians[ALONE] / medians[name],
        }
        for name in seconds
    ]


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'':<40}{'median s':>10}{'x end to end':>14}{'x alone':>10}"]
    lines += [
        f"{row['what']:<40}{row['median_s']:>10.3f}{row['faster_end_to_end']:>14.2f}"
        f"{row['faster_alone']:>10.2f}"
        for row in rows
    ]
    return "\n".join(lines)


def _pytorch(network: DualHRNet, pre: np.ndarray, post: np.ndarray) -> dict[str, Callable[[], Any]]:
    """PyTorch eager, FP32, in both scopes."""
    import torch

    from train.inference import predict_maps
    from train.model.dual_hrnet import normalise

    images = [
        normalise(torch.from_numpy(each.copy())[None], network.config) for each in (pre, post)
    ]

    def alone() -> None:
        with torch.inference_mode():
            network(*images)

    return {END_TO_END: lambda: predict_maps(network, pre, post), ALONE: alone}


def _check(engines: list[Engine], digest: str) -> None:
    """Raises: ConfigError where an engine could not be compared with the others."""
    first = engines[0]
    for engine in engines:
        if engine.manifest.model.checkpoint_sha256 != digest:
            raise ConfigError(f"{engine.folder}: was built from another checkpoint; build it anew")
        if (engine.height, engine.width) != (first.height, first.width):
            raise ConfigError(
                f"{engine.folder}: takes {engine.height}x{engine.width}, {first.folder} takes "
                f"{first.height}x{first.width}; compare engines of one size"
            )


if __name__ == "__main__":
    cli.run(parser(), main)

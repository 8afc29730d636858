"""Time our engines beside their peers on this processor.

From one checkpoint, in one process, taking turns: PyTorch eager, channels-last and compiled;
the network as `torch.onnx.export` writes it, in ONNX Runtime and in OpenVINO; and our engines.
Two scopes. End to end: two uint8 images in memory to three uint8 maps. Network alone: images
that are normalised already to logits at full size. What could not take part is listed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers.lineup import (
    LEFT_OUT,
    Lineup,
    names,
    open_engines,
    openers,
    plain_engine,
    quantised_by_nncf,
)
from benchmarks.peers.peer import EAGER, Peer, Task
from benchmarks.peers.turns import take_turns
from runtime import cli
from runtime.errors import ConfigError
from runtime.manifest import DEFAULT_THRESHOLD, STRIDE, Manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from train.model import DualHRNet

SEED = 4_242
"""Of the synthetic scene that all are given."""
VERSIONS = ("torch", "onnxruntime", "openvino", "numpy")
"""Of the libraries that compute; null where one is not installed."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    p.add_argument(
        "--checkpoint", required=True, type=Path, metavar="CKPT", help="checkpoint to run"
    )
    p.add_argument(
        "--engine", action="append", default=[], type=Path, metavar="DIR",
        help="engine folder of that checkpoint, repeatable; an FP32 one for a processor is the "
        "deploy graph, without rewrites",
    )  # fmt: skip
    p.add_argument(
        "--nncf", type=Path, metavar="DATA",
        help="also the FP32 engine for OpenVINO of --engine as NNCF quantises it on 16 training "
        "tiles of this xBD data set",
    )  # fmt: skip
    p.add_argument(
        "--size", type=int, nargs=2, metavar=("H", "W"),
        help="size of the images, pixels (default: the engines', or 1024 1024)",
    )  # fmt: skip
    p.add_argument("--rounds", type=int, default=5, metavar="N", help="turns of each (default: 5)")
    p.add_argument(
        "--threads", type=int, metavar="N", help="processor threads (default: physical cores)"
    )
    p.add_argument(
        "--leave-out", action="append", default=[], choices=names(), metavar="NAME",
        help=f"do not run this one, repeatable: {', '.join(names())}",
    )  # fmt: skip
    p.add_argument(
        "--deploy-graphs", action="store_true",
        help="also the FP32 deploy graph in both libraries, plain and with a GPU's rewrites",
    )  # fmt: skip
    p.add_argument(
        "--compile-limit", type=int, default=900, metavar="S",
        help="seconds after which torch.compile is given up (default: 900)",
    )  # fmt: skip
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    p.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    for name, lowest in (("rounds", 1), ("compile_limit", 1), ("threads", 1)):
        if (value := getattr(args, name)) is not None and value < lowest:
            raise ConfigError(f"--{name.replace('_', '-')} {value}: expected at least {lowest}")
    from runtime.files import check_file, sha256, write_json
    from train.checkpoint import load_checkpoint

    if args.out is not None:
        check_file(args.out)
    digest = sha256(args.checkpoint) if args.checkpoint.is_file() else ""
    size, threshold = agreed_input(args.engine, digest, args.size)
    if args.nncf is not None and plain_engine(args.engine) is None:
        raise ConfigError("--nncf: quantises an FP32 engine for OpenVINO, and no --engine is one")
    network = load_checkpoint(args.checkpoint).network()
    record = _compare(args, network, digest, size, threshold)
    if args.out is not None:
        write_json(args.out, record)
    print(json.dumps(record, indent=2) if args.json else table(record))


def agreed_input(
    folders: Sequence[Path], digest: str, size: Sequence[int] | None
) -> tuple[tuple[int, int], float]:
    """(height, width) and threshold that all engines share.

    Raises: ConfigError where an engine could not be compared with the others.
    """
    height, width = size or (1024, 1024)
    threshold = DEFAULT_THRESHOLD
    for index, folder in enumerate(folders):
        manifest = Manifest.read(folder)
        given = manifest.input
        if manifest.model.checkpoint_sha256 != digest:
            raise ConfigError(f"{folder}: was built from another checkpoint; build it anew")
        if index == 0:
            threshold = given.threshold
            height, width = size or (given.height, given.width)
        if (given.height, given.width, given.threshold) != (height, width, threshold):
            raise ConfigError(
                f"{folder}: takes {given.height}x{given.width} with threshold {given.threshold}, "
                f"expected {height}x{width} with {threshold}; compare engines of one size"
            )
    if min(height, width) < STRIDE or height % STRIDE or width % STRIDE:
        raise ConfigError(f"--size {height} {width}: expected positive multiples of {STRIDE}")
    return (height, width), threshold


def _compare(
    args: argparse.Namespace,
    network: DualHRNet,
    digest: str,
    size: tuple[int, int],
    threshold: float,
) -> dict[str, Any]:
    import numpy as np
    import torch

    from benchmarks.machine import describe_machine
    from runtime import host
    from train.synthetic.scene import make_scene

    threads = args.threads or host.physical_cores()
    torch.set_num_threads(threads)
    machine = describe_machine()  # its load: before ours
    scene = make_scene(SEED, 0, max(size))
    pre, post = (np.ascontiguousarray(x[: size[0], : size[1]]) for x in (scene.pre, scene.post))
    task = Task((pre, post), network.config, threshold, threads)
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        engines = list(args.engine)
        if args.nncf is not None:
            cli.note("quantising by NNCF")
            engines.append(quantised_by_nncf(engines, args.nncf, Path(scratch)))
        lineup = Lineup(network, task)
        found = openers(network, task, Path(scratch), args.compile_limit, args.deploy_graphs)
        for name, opener in found.items():
            if name in args.leave_out:
                lineup.fail(name, LEFT_OUT)
            else:
                cli.note(f"opening {name}")
                lineup.open(name, opener)
        open_engines(lineup, engines, task, stack)
        cli.note(f"{len(lineup.peers)} peers, {args.rounds} rounds")
        seconds = take_turns({peer.key: peer.call for peer in lineup.peers}, args.rounds)
    config = network.config
    parameters = sum(each.numel() for each in network.parameters())
    return {
        "kind": "peers",
        "checkpoint_sha256": digest,
        "model": {
            "architecture": config.architecture,
            "width": config.width,
            "parameters": parameters,
        },
        "size": list(size),
        "rounds": args.rounds,
        "threads": threads,
        "machine": machine,
        "versions": {name: machine["libraries"].get(name) for name in VERSIONS},
        "figures": figures(lineup.peers, seconds, lineup.agreement),
        "failed": lineup.failed,
    }


def figures(
    peers: Sequence[Peer], seconds: dict[str, list[float]], agreement: dict[str, float]
) -> list[dict[str, Any]]:
    """Medians, how many times faster than PyTorch eager in the same scope, and agreement.

    `wrong`: FP32, and yet other damage labels than an FP32 engine may have.
    """
    from export.parity import MIN_FP32_AGREEMENT

    medians = {peer.key: statistics.median(seconds[peer.key]) for peer in peers}
    eager = {peer.scope: medians[peer.key] for peer in peers if peer.name == EAGER}
    return [
        {
            "name": peer.name,
            "group": peer.group,
            "scope": peer.scope,
            "precision": peer.precision,
            "median_s": medians[peer.key],
            "samples_s": seconds[peer.key],
            "faster": eager[peer.scope] / medians[peer.key],
            "label_agreement": agreement[peer.key],
            "wrong": peer.precision == "fp32" and agreement[peer.key] < MIN_FP32_AGREEMENT,
        }
        for peer in peers
    ]


def table(record: dict[str, Any]) -> str:
    lines = [f"{'':<52}{'scope':<15}{'median s':>9}{'x eager':>9}{'labels agree':>14}"]
    lines += [
        f"{row['group'] + ': ' + row['name']:<52}{row['scope']:<15}{row['median_s']:>9.3f}"
        f"{row['faster']:>9.2f}{row['label_agreement']:>14.3%}{'  WRONG' if row['wrong'] else ''}"
        for row in record["figures"]
    ]
    lines += [f"not measured: {each['name']}: {each['reason']}" for each in record["failed"]]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)

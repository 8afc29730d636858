"""Measure what each rewrite of the graph is worth.

Kernels, bytes and FLOPs are counted in what TensorRT-RTX compiles in FP16, without a GPU;
seconds are those of an FP32 engine on this processor. Variants: the plain graph, the rewrites
added one after another, and each left out on its own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli
from runtime.errors import ConfigError

if TYPE_CHECKING:
    from export.deploy import DeployOptions
    from train.model import DualHRNet


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.rewrites", description=__doc__)
    p.add_argument(
        "--checkpoint", required=True, type=Path, metavar="CKPT", help="checkpoint to export"
    )
    p.add_argument(
        "--size",
        type=int,
        default=1024,
        metavar="S",
        help="side that is compiled for, pixels (default: 1024)",
    )
    p.add_argument(
        "--compute-capability",
        default="8.6",
        metavar="X.Y",
        help="of the GPU that is compiled for (default: 8.6)",
    )
    p.add_argument(
        "--cpu-size",
        type=int,
        default=512,
        metavar="S",
        help="side that is timed at, pixels; 0: not timed (default: 512)",
    )
    p.add_argument("--rounds", type=int, default=5, metavar="N", help="timed turns (default: 5)")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def variants() -> dict[str, tuple[str, ...]]:
    """Names of rewrites, by what the variant is called."""
    from export.rewrites import REWRITES

    names = tuple(REWRITES)
    found: dict[str, tuple[str, ...]] = {"plain": ()}
    for count, name in enumerate(names, start=1):
        found[f"+ {name}"] = names[:count]
    for name in names[:-1]:
        found[f"all but {name}"] = tuple(each for each in names if each != name)
    return found


def main(args: argparse.Namespace) -> None:
    if args.rounds < 1:
        raise ConfigError(f"--rounds {args.rounds}: expected at least 1")
    from tqdm import tqdm

    from benchmarks.machine import describe_machine
    from export.builders import tensorrt
    from export.deploy import DeployOptions
    from train.checkpoint import load_checkpoint

    tensorrt.library("tensorrt-rtx")
    tensorrt.check_capability(args.compute_capability)
    network = load_checkpoint(args.checkpoint).network()
    options = DeployOptions(args.size, args.size, precision="fp16")
    rows = []
    for name, names in tqdm(variants().items(), desc="compile", unit="variant"):
        counted = _compile(network, replace(options, rewrites=names), args.compute_capability)
        rows.append({"variant": name, "rewrites": names, **counted})
    if args.cpu_size:
        small = DeployOptions(args.cpu_size, args.cpu_size)
        for row, seconds in zip(rows, _time(network, small, rows, args.rounds), strict=True):
            row["cpu_seconds"] = seconds
    record = {"size": args.size, "cpu_size": args.cpu_size, "machine": describe_machine()}
    record["variants"] = rows
    print(json.dumps(record, indent=2) if args.json else table(rows))


def _compile(network: DualHRNet, options: DeployOptions, capability: str) -> dict[str, Any]:
    from export.builders.tensorrt import compile_graph
    from export.deploy import deploy_graph
    from export.onnx_graph import export_onnx

    model = export_onnx(deploy_graph(network, options), options)
    _, plan = compile_graph(model, options, "tensorrt-rtx", capability)
    return {
        "kernels": len(plan.kernels),
        "bytes": plan.bytes,
        "flops": plan.flops,
        "activation_bytes": plan.activation_bytes,
    }


def _time(
    network: DualHRNet, options: DeployOptions, rows: list[dict[str, Any]], rounds: int
) -> list[float]:
    """Median seconds of each variant in OpenVINO, all taking turns."""
    import statistics

    import numpy as np

    from benchmarks.peers.turns import take_turns
    from export.builders import openvino as builder
    from export.deploy import deploy_graph
    from export.onnx_graph import export_onnx
    from runtime.backends.openvino import load_openvino, settings
    from runtime.backends.openvino_core import core_of
    from train.synthetic.scene import make_scene

    scene = make_scene(0, 0, options.width)
    pair = {"pre": scene.pre[None], "post": scene.post[None]}
    calls = {}
    with tempfile.TemporaryDirectory() as scratch:
        for row in rows:
            variant = replace(options, rewrites=row["rewrites"])
            folder = Path(scratch) / str(len(calls))
            folder.mkdir()
            builder.build(export_onnx(deploy_graph(network, variant), variant), folder)
            core = core_of(load_openvino())
            compiled = core.compile_model(str(folder / "model.xml"), "CPU", settings())
            request = compiled.create_infer_request()
            calls[row["variant"]] = lambda r=request: r.infer(
                {name: np.ascontiguousarray(image) for name, image in pair.items()}
            )
        seconds = take_turns(calls, rounds)
    return [statistics.median(times) for times in seconds.values()]


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'variant':<28}{'kernels':>8}{'GB':>8}{'TFLOP':>8}{'CPU s':>8}"]
    for row in rows:
        seconds = f"{row['cpu_seconds']:.3f}" if "cpu_seconds" in row else "-"
        lines.append(
            f"{row['variant']:<28}{row['kernels']:>8}{row['bytes'] / 1e9:>8.3f}"
            f"{row['flops'] / 1e12:>8.3f}{seconds:>8}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)

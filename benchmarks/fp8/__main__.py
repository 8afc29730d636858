"""Show whether FP8 moves fewer bytes than FP16 in what TensorRT-RTX compiles.

Kernels, bytes and FLOPs are counted in the plans of one checkpoint, compiled without a GPU and not
run: in FP16 and INT8 as engines are built, and in FP8 (E4M3) in several forms. The ranges of
activations are one plausible number, on which no plan depends. An FP8 form that moves fewer than
0.75 of FP16's bytes would be worth a precision of its own.
"""

from __future__ import annotations

import argparse
import json
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

    from benchmarks.fp8.graphs import Convolution
    from export.deploy import DeployOptions
    from train.model import DualHRNet

AMAX = 16.0
"""Range of every activation, on either side of 0."""

WIDE = (96, 384)
"""Channels from which a convolution is wide: of W48 all but the finest branch, and the coarsest."""

CAPABILITIES = ("8.6", "8.9", "12.0")


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.fp8", description=__doc__)
    p.add_argument(
        "--checkpoint", required=True, type=Path, metavar="CKPT", help="checkpoint to export"
    )
    p.add_argument(
        "--size", type=int, default=1024, metavar="S", help="side, pixels (default: 1024)"
    )
    p.add_argument(
        "--compute-capability",
        nargs="+",
        default=CAPABILITIES,
        metavar="X.Y",
        help=f"of the GPUs that are compiled for (default: {' '.join(CAPABILITIES)})",
    )
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from benchmarks.machine import describe_machine
    from export.builders import tensorrt
    from export.deploy import DeployOptions
    from train.checkpoint import load_checkpoint

    tensorrt.library("tensorrt-rtx")
    for capability in args.compute_capability:
        tensorrt.check_capability(capability)
    network = load_checkpoint(args.checkpoint).network()
    options = DeployOptions(args.size, args.size)
    rows = []
    for form, model in tqdm(forms(network, options), desc="compile", unit="graph"):
        for capability in args.compute_capability:
            row = {"graph": form, "compute_capability": capability}
            rows.append(row | compiled(model, options, capability))
    rows = compared(rows)
    record = {"size": args.size, "machine": describe_machine(), "rows": rows}
    print(json.dumps(record, indent=2) if args.json else table(rows))


def forms(network: DualHRNet, options: DeployOptions) -> Iterator[tuple[str, onnx.ModelProto]]:
    """The graphs by what they are called, FP16's first; each is made when it is asked for."""
    from dataclasses import replace

    from benchmarks.fp8.graphs import placed, retyped
    from export.deploy import deploy_graph
    from export.onnx_graph import export_onnx
    from export.rewrites import FOR_NVIDIA
    from train.model.inference_form import inference_form
    from train.quantisation.artefact import Artefact
    from train.quantisation.fake import Range
    from train.quantisation.placement import sites

    half = replace(options, precision="fp16", rewrites=FOR_NVIDIA)
    fp16 = export_onnx(deploy_graph(network, half), half)
    yield "fp16", fp16
    ranges = {site.name: Range(AMAX, False) for site in sites(inference_form(network))}
    eight = replace(options, precision="int8", half_around=True)
    artefact = Artefact("", {}, [], "minmax", ranges)
    int8 = export_onnx(deploy_graph(network, eight, artefact), eight)
    yield "int8", int8
    yield "fp8: int8's places, scale a channel", retyped(int8)
    yield "fp8: int8's places, scale a weight", retyped(int8, per_channel=False)
    choices = {
        "every convolution": lambda _: True,
        "all but stem and heads": lambda c: not re.search(r"stem|heads", c.unit),
        "readers of concatenations": lambda c: c.source == "Concat",
    }
    for least in WIDE:
        choices[f"3x3 of {least} channels or more"] = partial(_is_wide, least)
    for name, chosen in choices.items():
        yield f"fp8: {name}", placed(fp16, chosen, AMAX)
    yield "fp8: weights alone", placed(fp16, lambda _: True, AMAX, activations=False)


def _is_wide(least: int, convolution: Convolution) -> bool:
    return convolution.kernel == (3, 3) and convolution.channels >= least


def compiled(model: onnx.ModelProto, options: DeployOptions, capability: str) -> dict[str, Any]:
    """What the compiler made of it, or its words where it refused."""
    from collections import Counter

    from export.builders.tensorrt import compile_graph
    from runtime.errors import ExportError

    try:
        _, plan = compile_graph(model, options, "tensorrt-rtx", capability)
    except ExportError as error:
        return {"refused": str(error)}
    return {
        "kernels": len(plan.kernels),
        "convolutions": dict(Counter(kernel.precision for kernel in plan.convolutions)),
        "bytes": plan.bytes,
        "flops": plan.flops,
        "activation_bytes": plan.activation_bytes,
        "weight_bytes": plan.weight_bytes,
    }


def compared(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows by capability, FP16's first, each with its bytes as a share of FP16's."""
    fp16 = {row["compute_capability"]: row for row in rows if row["graph"] == "fp16"}
    order = list(fp16)
    for row in rows:
        if "bytes" in row:
            row["bytes_to_fp16"] = row["bytes"] / fp16[row["compute_capability"]]["bytes"]
    return sorted(rows, key=lambda row: order.index(row["compute_capability"]))


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"{'SM':<6}{'graph':<38}{'kernels':>8}{'GB':>8}{'to FP16':>9}{'TFLOP':>8}"
        f"{'activations MiB':>17}"
    ]
    said = ""
    for row in rows:
        start = f"{row['compute_capability']:<6}{row['graph']:<38}"
        if "refused" in row:
            again = row["refused"] == said
            said = row["refused"]
            lines.append(f"{start}{'refused, as above' if again else said}")
            continue
        # Of weights that are widened in kernels of their own the plan does not tell the size.
        flops = f"{row['flops'] / 1e12:.3f}" if row["flops"] else "-"
        lines.append(
            f"{start}{row['kernels']:>8}{row['bytes'] / 1e9:>8.3f}{row['bytes_to_fp16']:>9.3f}"
            f"{flops:>8}{row['activation_bytes'] / 2**20:>17.0f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)

"""Write a checkpoint as an ONNX deploy graph."""

from __future__ import annotations

import argparse
from pathlib import Path

from export.options import (
    add_floor,
    add_graph_options,
    add_precisions,
    deploy_options,
    given_floor,
)
from runtime import cli


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m export.to_onnx", description=__doc__)
    p.add_argument("--out", required=True, type=Path, metavar="FILE", help="ONNX file to write")
    add_graph_options(p)
    add_precisions(p)
    add_floor(p.add_argument_group("proof, on synthetic scenes"))
    p.add_argument(
        "--for-cpu",
        action="store_true",
        help="INT8 for any CPU library: unsigned activations, 7-bit weights, FP32 around",
    )
    return p


def main(args: argparse.Namespace) -> None:
    options = deploy_options(args, "onnxruntime" if args.for_cpu else "tensorrt")
    given = given_floor(args)

    from export.deploy import deploy_graph
    from export.floor import FLOORS
    from export.half_precision import check_activations
    from export.onnx_graph import export_onnx, save_onnx
    from export.parity import prove
    from export.parity_pairs import parity_pairs, scenes
    from export.runners import fp32_runner, graph_runner
    from export.source import Ranges, load_source, with_ranges
    from runtime.files import check_writable, replacing

    check_writable(args.out)
    floor = FLOORS[options.precision].with_given(**given)
    ranges = Ranges(args.calibration)
    source = with_ranges(load_source(args.checkpoint), options.precision, ranges)
    cli.note(f"exporting {source.checkpoint} ({source.parameters / 1e6:.1f} M parameters)")
    model = export_onnx(deploy_graph(source.network, options, source.calibration), options)
    fp32 = fp32_runner(source.network, options)
    pairs = parity_pairs(fp32, [], scenes(options.height, options.width), 1)
    if options.half:
        check_activations(source.deployed, [each.images for each in pairs])
    parity = prove("the graph", graph_runner(model, options), pairs, options, floor)
    with replacing(args.out) as temporary:
        save_onnx(model, temporary)
    cli.note(
        f"{args.out}: {options.precision}, {options.height}x{options.width}, "
        f"opset {options.opset}, "
        f"{len(model.graph.node)} nodes, {args.out.stat().st_size / 1e6:.1f} MB; checked, and on "
        f"ONNX Runtime {parity['label_agreement']:.4%} of its labels are PyTorch's "
        f"({parity['pairs']})"
    )


if __name__ == "__main__":
    cli.run(parser(), main)

"""Write a checkpoint as an ONNX deploy graph."""

from __future__ import annotations

import argparse
from pathlib import Path

from export.options import add_graph_options, add_precisions, deploy_options
from runtime import cli


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m export.to_onnx", description=__doc__)
    p.add_argument("--out", required=True, type=Path, metavar="FILE", help="ONNX file to write")
    add_graph_options(p)
    add_precisions(p)
    p.add_argument(
        "--for-cpu",
        action="store_true",
        help="INT8 for any CPU library: unsigned activations, 7-bit weights, FP32 around",
    )
    return p


def main(args: argparse.Namespace) -> None:
    options = deploy_options(args, "onnxruntime" if args.for_cpu else "tensorrt")

    from export.deploy import deploy_graph
    from export.onnx_graph import export_onnx, save_onnx
    from export.request import Proof
    from export.source import Ranges, load_source, with_ranges
    from export.verify import graph_runner, parity_pairs, prove
    from runtime.files import check_writable, replacing

    check_writable(args.out)
    ranges = Ranges(args.calibration)
    source = with_ranges(load_source(args.checkpoint), options.precision, ranges)
    cli.note(f"exporting {source.checkpoint} ({source.parameters / 1e6:.1f} M parameters)")
    model = export_onnx(deploy_graph(source.network, options, source.calibration), options)
    pairs, description = parity_pairs(options, Proof(parity_pairs=1))
    parity = prove("the graph", graph_runner(model, options), source.network, pairs, options)
    with replacing(args.out) as temporary:
        save_onnx(model, temporary)
    cli.note(
        f"{args.out}: {options.precision}, {options.height}x{options.width}, "
        f"opset {options.opset}, "
        f"{len(model.graph.node)} nodes, {args.out.stat().st_size / 1e6:.1f} MB; checked, and on "
        f"ONNX Runtime {parity['label_agreement']:.4%} of its labels are PyTorch's ({description})"
    )


if __name__ == "__main__":
    cli.run(parser(), main)

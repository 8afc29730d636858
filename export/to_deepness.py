"""Write a checkpoint as a model for Deepness, a plugin of QGIS."""

from __future__ import annotations

import argparse
from pathlib import Path

from runtime import cli
from runtime.manifest import DEFAULT_THRESHOLD, STRIDE


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m export.to_deepness", description=__doc__)
    p.add_argument("--out", required=True, type=Path, metavar="FILE", help="ONNX file to write")
    p.add_argument(
        "--checkpoint", type=Path, metavar="CKPT",
        help="checkpoint (default: the newest under runs/)",
    )  # fmt: skip
    p.add_argument(
        "--size", type=int, default=512, metavar="S",
        help=f"pixels of a tile's side, a multiple of {STRIDE} (default: 512)",
    )  # fmt: skip
    p.add_argument(
        "--threshold", type=float, default=DEFAULT_THRESHOLD, metavar="P",
        help=f"building probability from which a pixel is building (default: {DEFAULT_THRESHOLD})",
    )  # fmt: skip
    p.add_argument(
        "--gsd", type=float, nargs=2, metavar=("MIN", "MAX"),
        help="size of the pixels that the network was trained on, metres (default: as the "
        "checkpoint says)",
    )  # fmt: skip
    return p


def main(args: argparse.Namespace) -> None:
    from export.deploy import DeployOptions
    from runtime.errors import ConfigError

    if args.gsd and not 0 < args.gsd[0] <= args.gsd[1]:
        raise ConfigError(f"--gsd {args.gsd[0]:g} {args.gsd[1]:g}: expected 0 < MIN <= MAX metres")
    options = DeployOptions(height=args.size, width=args.size, threshold=args.threshold)

    from export.deepness import check, export_deepness
    from export.onnx_graph import save_onnx
    from export.parity_pairs import parity_pairs, scenes
    from export.runners import fp32_runner
    from export.source import load_source
    from runtime.files import check_file, replacing

    check_file(args.out)
    source = load_source(args.checkpoint)
    cli.note(f"exporting {source.checkpoint} ({source.parameters / 1e6:.1f} M parameters)")
    gsd = args.gsd or source.training.pixel_m
    model = export_deepness(source.network, options, gsd)
    fp32 = fp32_runner(source.network, options)
    pairs = parity_pairs(fp32, [], scenes(options.height, options.width), 1)
    said = check(model, pairs)
    with replacing(args.out) as temporary:
        save_onnx(model, temporary)
    cli.note(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB; on ONNX Runtime {said}")
    if not gsd:
        cli.note(
            "the size of the pixels it was trained on is not known: set the resolution in Deepness "
            "to that of the raster, or give --gsd"
        )


if __name__ == "__main__":
    cli.run(parser(), main)

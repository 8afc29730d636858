"""Build an engine folder from a checkpoint: ``python -m export.build_engine --fp16``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from export.options import add_graph_options, deploy_options
from runtime import cli
from runtime.errors import ConfigError
from runtime.manifest import FILE_NAME

if TYPE_CHECKING:
    from export.deploy import DeployOptions
    from export.targets import Target
    from train.model import ModelConfig


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m export.build_engine", description=__doc__)
    add_graph_options(p)
    p.add_argument(
        "--target",
        default="auto",
        help="auto, tensorrt, tensorrt-rtx, openvino or onnxruntime (default: auto)",
    )
    p.add_argument(
        "--compute-capability",
        metavar="X.Y",
        help="with tensorrt-rtx: the GPU to compile for, such as 8.6 (default: the GPU here)",
    )
    p.add_argument(
        "--out", type=Path, metavar="DIR", help="engine folder (default: artifacts/NAME)"
    )
    p.add_argument("--data", type=Path, help="xBD data set to measure parity on")
    p.add_argument("--split", default="test", help="split of --data (default: test)")
    p.add_argument("--parity-pairs", type=int, default=2, help="pairs to compare (default: 2)")
    p.add_argument("--json", action="store_true", help="print the manifest as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    if args.parity_pairs < 1:
        raise ConfigError(f"--parity-pairs {args.parity_pairs}: expected at least 1")

    from export.targets import choose

    target = choose(args.target, args.precision, args.compute_capability)
    options = deploy_options(args, nvidia=target.nvidia)
    capability = f" for compute capability {target.capability}" if target.capability else ""
    cli.note(f"target {target.name}{capability} ({target.why})")

    from export.engine import EngineRequest, build_engine, check_target
    from export.source import open_source

    check_target(target)
    source = open_source(args.checkpoint, args.calibration, options, args.data)
    out = args.out or Path("artifacts") / default_name(source.network.config, options, target)
    if out.exists() and not is_engine_folder(out):
        raise ConfigError(
            f"--out {out}: exists and is no engine folder; choose another, or remove it"
        )
    request = EngineRequest(source, options, target, args.data, args.split, args.parity_pairs)
    manifest = build_engine(request, out)
    if args.json:
        print((out / "manifest.json").read_text(), end="")
    for line in report(manifest.verification):
        cli.note(line)
    size = sum(entry.size for entry in manifest.payload)
    cli.note(f"{out}: {options.precision} engine, {size / 1e6:.1f} MB")


def default_name(model: ModelConfig, options: DeployOptions, target: Target) -> str:
    """What tells two engines apart, such as dual-hrnet-w48-1024x1024-fp16-tensorrt-rtx-sm86."""
    parts = [
        model.architecture,
        f"w{model.width}",
        f"{options.height}x{options.width}",
        options.precision,
        target.name,
    ]
    if target.capability:
        parts.append("sm" + target.capability.replace(".", ""))
    return "-".join(parts)


def is_engine_folder(path: Path) -> bool:
    """May `path` be replaced by a new engine: an engine folder, or an empty one?"""
    return path.is_dir() and ((path / FILE_NAME).is_file() or not any(path.iterdir()))


def report(verification: dict) -> list[str]:
    """The verification in words."""
    parity = verification["parity"]
    lines = [
        f"{verification['status']}; {parity['what']} agrees with PyTorch FP32 on "
        f"{parity['label_agreement']:.4%} of {parity['pixels']} labels ({parity['pairs']})"
    ]
    lines += [f"  {name:<13} F1 {f1:.4f}" for name, f1 in parity["class_f1"].items()]
    return lines


if __name__ == "__main__":
    cli.run(parser(), main)

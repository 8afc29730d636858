"""Build an engine folder from a checkpoint, and prove it."""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.options import (
    add_floor,
    add_graph_options,
    add_precisions,
    deploy_options,
    given_floor,
)
from runtime import cli
from runtime.errors import ConfigError
from runtime.manifest import FILE_NAME, Manifest
from train.device_option import add_device

if TYPE_CHECKING:
    from export.deploy import DeployOptions
    from export.request import EngineRequest, Proof
    from export.source import Ranges, Source
    from export.targets import Target
    from train.model import ModelConfig

BEST = "best"


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m export.build_engine", description=__doc__)
    add_graph_options(p).add_argument(
        "--scene",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="take the size that maps scenes of so many pixels with the fewest computed ones; "
        "at most 1024 a side, so that memory stays bounded",
    )
    add_precisions(p).add_argument(
        "--best",
        dest="precision",
        action="store_const",
        const=BEST,
        help="build what the target offers, keep the fastest that is accurate enough, and say "
        "why the others lost",
    )
    p.add_argument(
        "--target",
        default="auto",
        metavar="NAME",
        help="where it will run: auto, tensorrt, tensorrt-rtx, onnxruntime-cuda, openvino or "
        "onnxruntime (default: auto)",
    )
    p.add_argument(
        "--compute-capability",
        metavar="X.Y",
        help="with tensorrt-rtx: the GPU to compile for, such as 8.6 (default: the GPU here)",
    )
    p.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="engine folder (default: a name of its own in artifacts/)",
    )
    p.add_argument(
        "--gsd",
        type=float,
        nargs=2,
        metavar=("MIN", "MAX"),
        help="metres of the least and the largest pixel that the network was trained on, for "
        "the manifest (default: as the checkpoint records)",
    )
    p.add_argument("--json", action="store_true", help="print the manifest as JSON")
    _add_proof(p.add_argument_group("proof"))
    gate = p.add_argument_group("gate, which leaves windows without a building out of a scene")
    gate.add_argument(
        "--gate",
        type=Path,
        metavar="CKPT",
        help="checkpoint of a small network that decides which windows are computed (default: all "
        "are); its misses are measured on the labelled tiles of --data",
    )
    gate.add_argument(
        "--miss-budget",
        type=float,
        default=0.001,
        metavar="SHARE",
        help="largest share of the labelled buildings that it may miss (default: 0.001)",
    )
    ranges = p.add_argument_group("ranges for --int8 and --best, where --calibration is not given")
    ranges.add_argument(
        "--calibration-tiles",
        type=int,
        default=16,
        metavar="N",
        help="tiles of --data to observe (default: 16)",
    )
    ranges.add_argument(
        "--method",
        choices=["minmax", "percentile", "entropy", "mse"],
        help="how a range is chosen, as calibrate does (default: minmax, then mse and percentile, "
        "until one holds the accuracy gate)",
    )
    return p


def _add_proof(group: Any) -> None:
    group.add_argument(
        "--data", type=Path, metavar="DIR", help="xBD data set to calibrate and to compare on"
    )
    group.add_argument(
        "--split",
        metavar="NAME",
        help="split to compare on (default: hold, or what there is besides train)",
    )
    group.add_argument(
        "--parity-pairs",
        type=int,
        default=2,
        metavar="N",
        help="pairs to compare maps on; more where a damage class would not be seen (default: 2)",
    )
    group.add_argument(
        "--gate-tiles",
        type=int,
        default=16,
        metavar="N",
        help="labelled tiles to measure accuracy on; 0: no accuracy gate (default: 16)",
    )
    group.add_argument(
        "--gate-score",
        type=float,
        default=0.005,
        metavar="LOSS",
        help="most that the xView2 score may lose against FP32 (default: 0.005)",
    )
    group.add_argument(
        "--gate-f1",
        type=float,
        default=0.01,
        metavar="LOSS",
        help="most that any F1 may lose against FP32 (default: 0.01)",
    )
    group.add_argument(
        "--allow-mixed",
        nargs="+",
        default=[],
        metavar="NAME",
        help="modules or ONNX nodes that may be compiled in another precision (default: none)",
    )
    add_floor(group)
    add_device(group)


def main(args: argparse.Namespace) -> None:
    _check(args)
    if args.out is not None:
        _check_out(args.out)
    if args.scene is not None:
        from export.window_size import chosen_size

        args.size = chosen_size(*args.scene, square=args.tta == "d4")
    if args.data is not None and args.split is None:
        args.split = _choose_split(args)
    manifest, out = _best(args) if args.precision == BEST else _one(args)
    if args.json:
        print((out / FILE_NAME).read_text(), end="")
    for line in report(manifest.verification):
        cli.note(line)
    if manifest.gate:
        from export.window_gate.build import in_words

        cli.note(in_words(manifest.gate))
    cli.note(f"{out}: {manifest.precision} engine, {manifest.payload_bytes / 1e6:.1f} MB")


def _one(args: argparse.Namespace) -> tuple[Manifest, Path]:
    from export.engine import build_engine
    from export.material import prepare
    from export.source import load_source
    from export.targets import choose

    target = choose(args.target, args.precision, args.compute_capability)
    request = _request(args, target, load_source)
    out = args.out or _default_out(request)
    return build_engine(request, prepare([request], [out]), out), out


def _choose_split(args: argparse.Namespace) -> str:
    """Of --data, to compare on."""
    from runtime.errors import DataError
    from train.splits import choosing_split

    if not args.data.is_dir():
        raise DataError(f"--data {args.data}: no such folder; expected an xBD data set")
    instead = "" if args.precision in ("fp32", "fp16") else " and pass --calibration"
    advice = f"name it with --split, or leave --data out{instead}"
    split, note = choosing_split(args.data, advice)
    if note:
        cli.note(note)
    return split


def _best(args: argparse.Namespace) -> tuple[Manifest, Path]:
    from export.best import Candidate, build_best
    from export.source import load_source
    from export.targets import offers

    load = functools.cache(load_source)  # one network for all candidates
    candidates = []
    for target, precision in offers(args.target, args.compute_capability):
        calibration = args.calibration if precision == "int8" else None
        chosen = {**vars(args), "precision": precision, "calibration": calibration}
        open_request = functools.partial(_request, argparse.Namespace(**chosen), target, load)
        candidates.append(Candidate(f"{target.name} {precision}", open_request))
    return build_best(candidates, lambda request: args.out or _default_out(request))


def _default_out(request: EngineRequest) -> Path:
    model = request.source.network.config
    out = Path("artifacts") / default_name(model, request.options, request.target)
    _check_out(out)
    return out


def _request(
    args: argparse.Namespace, target: Target, load: Callable[[Path | None], Source]
) -> EngineRequest:
    options = deploy_options(args, target.name)
    capability = f" for compute capability {target.capability}" if target.capability else ""
    cli.note(f"target {target.name}{capability} ({target.why})")

    from export.engine import check_target
    from export.request import EngineRequest, GateRequest
    from export.source import with_ranges

    check_target(target)
    ranges = _ranges(args)
    source = with_ranges(load(args.checkpoint), options.precision, ranges)
    gsd = tuple(args.gsd) if args.gsd else None
    gate = GateRequest(load(args.gate), args.miss_budget) if args.gate else None
    return EngineRequest(source, options, target, _proof(args), gsd, ranges, gate)


def _ranges(args: argparse.Namespace) -> Ranges:
    from export.source import Ranges

    return Ranges(args.calibration, args.data, args.method, args.calibration_tiles)


def _proof(args: argparse.Namespace) -> Proof:
    from calibration.gate import Limits
    from export.request import Proof
    from train.distributed import pick_device
    from train.splits import REPORTING

    return Proof(
        args.data,
        args.split or REPORTING,
        args.parity_pairs,
        args.gate_tiles,
        Limits(args.gate_score, args.gate_f1),
        given_floor(args),
        frozenset(args.allow_mixed),
        pick_device(args.device),
    )


def _check(args: argparse.Namespace) -> None:
    for name, lowest in (("parity_pairs", 1), ("gate_tiles", 0), ("calibration_tiles", 1)):
        value = getattr(args, name)
        if value < lowest:
            raise ConfigError(f"--{name.replace('_', '-')} {value}: expected at least {lowest}")
    if args.gate is not None and args.data is None:
        raise ConfigError(
            f"--gate {args.gate}: needs --data DIR, labelled tiles to measure what it misses"
        )
    for name in ("gate_score", "gate_f1", "miss_budget"):
        value = getattr(args, name)
        if not 0 <= value <= 1:
            raise ConfigError(f"--{name.replace('_', '-')} {value}: expected between 0 and 1")
    given_floor(args)
    if args.calibration is not None and args.method is not None:
        raise ConfigError(
            f"--method {args.method}: the ranges are those of --calibration {args.calibration}; "
            "leave one of the two out"
        )
    if args.gsd and not 0 < args.gsd[0] <= args.gsd[1] < math.inf:
        raise ConfigError(f"--gsd {args.gsd[0]:g} {args.gsd[1]:g}: expected 0 < MIN <= MAX")


def _check_out(out: Path) -> None:
    if out.exists() and not is_engine_folder(out):
        raise ConfigError(
            f"--out {out}: exists and is no engine folder; choose another, or remove it"
        )


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
    if options.tta != "none":
        parts.append(options.tta)
    return "-".join(parts)


def is_engine_folder(path: Path) -> bool:
    """May `path` be replaced by a new engine: an engine folder, or an empty one?"""
    return path.is_dir() and ((path / FILE_NAME).is_file() or not any(path.iterdir()))


def report(verification: dict[str, Any]) -> list[str]:
    """The verification in words."""
    parity, gate = verification["parity"], verification["gate"]
    built = parity["building_agreement"]
    lines = [
        f"{verification['status']}; {parity['what']} agrees with PyTorch FP32 on "
        f"{parity['label_agreement']:.4%} of {parity['pixels']} labels, and on "
        f"{'no' if built is None else format(built, '.4%') + ' of the'} building pixels "
        f"({parity['pairs']})"
    ]
    lines += [
        f"  {name:<13} F1 {f1:.4f} on {parity['content'][name]} pixels"
        for name, f1 in parity["class_f1"].items()
    ]
    precision = verification["precision"]
    flops = precision["flops_by_precision"].items()
    shares = ", ".join(f"{name} {count / 1e9:.1f} GFLOP" for name, count in flops)
    lines.append(f"compiled: {precision['convolutions']} convolutions, {shares}")
    if gate:
        before, after = gate["reference"], gate["candidate"]
        lines.append(f"accuracy on {gate['scenes']} scenes, FP32 -> this engine:")
        lines += [f"  {name:<13} {before[name]:.4f} -> {after[name]:.4f}" for name in before]
        if gate["not_measured"]:
            lines.append(f"  not measured, as FP32's own is 0: {', '.join(gate['not_measured'])}")
    if verification["ranges"]:
        lines += _ranges_report(verification["ranges"])
    if verification["high_precision"]:
        lines.append(f"left in floating point: {', '.join(verification['high_precision'])}")
    if "chosen" in verification:
        lines.append(f"chosen: {verification['chosen']}")
    lines += [f"rejected: {reason}" for reason in verification.get("rejected", [])]
    return lines


def _ranges_report(ranges: dict[str, Any]) -> list[str]:
    """The method that was taken, and what the others lost if several were tried."""
    lines = [f"INT8 ranges: {ranges['method']}"]
    if len(ranges["tried"]) > 1:
        lines += [
            f"  {each['method']:<13} score {each['score']:.4f}, "
            f"{'; '.join(each['broken']) or 'holds the gate'}"
            for each in ranges["tried"]
        ]
    return lines


if __name__ == "__main__":
    cli.run(parser(), main)

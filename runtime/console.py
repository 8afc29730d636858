"""The command ``dual-hrnet NAME``: the module behind each name, run as ``python -m`` would.

A name's options are those of its module's own ``parser()``; nothing here knows any of them.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from runtime import cli
from runtime.errors import ConfigError

GROUPS = {
    "Maps": {
        "example": "runtime.example.__main__",
        "predict": "runtime.predict",
        "batch": "runtime.batch",
        "watch": "runtime.watch",
        "serve": "runtime.serve.__main__",
        "change": "runtime.change",
        "sheet": "runtime.sheet.__main__",
        "deliver": "runtime.deliver.__main__",
        "corrections": "runtime.corrections.__main__",
        "counts": "runtime.counts.__main__",
    },
    "Engines": {
        "build-engine": "export.build_engine",
        "to-onnx": "export.to_onnx",
        "to-deepness": "export.to_deepness",
        "plan-report": "export.plan_report",
        "sign": "runtime.sign",
        "verify": "runtime.verify",
    },
    "Calibration": {
        "calibrate": "calibration.__main__",
        "sensitivity": "calibration.sensitivity",
    },
    "Training": {
        "synthesize": "train.synthesize",
        "train": "train.__main__",
        "adapt": "train.adapt",
        "evaluate": "train.evaluate",
        "visualize": "train.visualize",
        "import-weights": "train.import_weights",
        "widen": "train.widen",
    },
    "Measuring": {
        "accuracy": "benchmarks.accuracy.__main__",
        "agreement": "benchmarks.agreement",
        "robustness": "benchmarks.robustness.__main__",
        "adaptation": "benchmarks.adaptation.__main__",
        "peers": "benchmarks.peers.__main__",
        "pareto": "benchmarks.pareto.__main__",
        "compare": "benchmarks.compare.__main__",
        "track": "benchmarks.track.__main__",
        "report": "benchmarks.report.__main__",
        "demo": "benchmarks.demo.__main__",
        "scene": "benchmarks.scene",
        "planted-faults": "benchmarks.planted_faults",
        "seams": "benchmarks.seams",
        "outlines": "benchmarks.outlines",
        "counts-coverage": "benchmarks.counts_coverage",
        "known-windows": "benchmarks.known_windows",
        "many-footprints": "benchmarks.many_footprints",
        "image-quality": "benchmarks.image_quality",
        "several-dates": "benchmarks.several_dates",
        "correction-loop": "benchmarks.correction_loop",
        "throughput": "benchmarks.throughput",
        "watch-faults": "benchmarks.watch_faults",
        "window-gate": "benchmarks.window_gate",
        "reading": "benchmarks.reading",
        "registration": "benchmarks.registration.__main__",
        "tiling-loop": "benchmarks.tiling_loop",
        "plain-loop": "benchmarks.plain_loop",
        "overhead": "benchmarks.overhead",
        "signature": "benchmarks.signature",
        "loading": "benchmarks.loading",
        "start-up": "benchmarks.start_up",
        "serve-fuzz": "benchmarks.serve_fuzz",
        "serve-kills": "benchmarks.serve_kills",
        "serve-load": "benchmarks.serve_load",
        "gpu-record": "benchmarks.gpu_record.__main__",
        "training": "benchmarks.training",
        "leave-one-out": "benchmarks.leave_one_out",
        "training-memory": "benchmarks.training_memory",
        "training-update": "benchmarks.training_update",
        "calibration-cost": "benchmarks.calibration_cost",
        "nncf-engine": "benchmarks.nncf_engine",
        "equalisation": "benchmarks.equalisation",
        "rewrites": "benchmarks.rewrites",
        "fp8": "benchmarks.fp8.__main__",
        "plausible": "benchmarks.plausible",
    },
    "Devices": {
        "doctor": "runtime.doctor.__main__",
        "sbom": "runtime.sbom",
    },
    "Shell": {
        "completion": "runtime.completion",
    },
}

COMMANDS = {name: module for group in GROUPS.values() for name, module in group.items()}
"""Name to module: it has ``parser()`` and ``main(args)``, and runs with ``python -m`` too."""

ASK = "__complete"
"""Not for a person: a shell asks what may follow the words that come after it."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command that is named first, and leave the process with its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    name = words[0] if words else ""
    if name == ASK:
        importlib.import_module("runtime.completion").answer(words[1:])
    elif name in COMMANDS:
        try:
            command = load(name)
        except ModuleNotFoundError as error:
            sys.exit(cli.end(error, COMMANDS[name].partition(".")[0]))
        cli.run(parser_of(command, name), command.main, words[1:])
    else:
        unknown = bool(name) and not name.startswith("-")
        cli.run(parser(), _about, words[:1] if unknown else words)


def load(name: str) -> ModuleType:
    return importlib.import_module(COMMANDS[name])


def parser_of(command: ModuleType, name: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = command.parser()
    parser.prog = f"dual-hrnet {name}"
    return parser


def parser() -> argparse.ArgumentParser:
    """Of ``dual-hrnet`` without a command."""
    p = argparse.ArgumentParser(
        prog="dual-hrnet",
        usage="%(prog)s COMMAND [option ...]\n       %(prog)s COMMAND --help",
        description="Maps of building damage, and the engines that make them.",
        epilog=_overview(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("command", nargs="?", metavar="COMMAND", help="one of those below")
    p.add_argument("--version", action="store_true", help="show the version of the toolkit")
    return p


def summary(module: str) -> str:
    """The first line of a module's docstring, without importing it; "" where it is not there."""
    path = Path(__file__).parents[1].joinpath(*module.split(".")).with_suffix(".py")
    try:
        with path.open(encoding="utf-8") as source:
            return source.readline().strip().strip('"').rstrip(".")
    except OSError:
        return ""


def _about(args: argparse.Namespace) -> None:
    if args.command:
        near = difflib.get_close_matches(args.command, COMMANDS, n=1, cutoff=0.5)
        hint = f"the nearest is {near[0]}; " if near else ""
        raise ConfigError(
            f"dual-hrnet has no command {args.command!r}; {hint}see dual-hrnet --help"
        )
    if args.version:
        print(_version())
    else:
        parser().print_help()


def _version() -> str:
    from importlib import metadata

    try:
        return f"{cli.PROJECT} {metadata.version(cli.PROJECT)}"
    except metadata.PackageNotFoundError:
        return (
            f"{cli.PROJECT}, version unknown: not installed, run from {Path(__file__).parents[1]}"
        )


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines: list[str] = []
    for title, commands in GROUPS.items():
        lines += ["", f"{title}:"] if lines else [f"{title}:"]
        lines += [f"  {name:{width}}  {summary(module)}" for name, module in commands.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

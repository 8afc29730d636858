"""How often the intervals of counts hold the truth, on towns whose truth is known."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from runtime import cli
from runtime.errors import ConfigError

METHODS = ("prediction-powered", "stratified")


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.counts_coverage",
        usage="%(prog)s [option ...]",
        description="How often the intervals of dual-hrnet counts hold the truth: synthetic towns, "
        "maps of them with known errors, and many samples of each.",
    )
    p.add_argument(
        "--draws", type=int, default=1000, metavar="N",
        help="samples of each setting (default: 1000)",
    )  # fmt: skip
    p.add_argument(
        "--towns", type=int, default=20, metavar="N",
        help="towns that they are drawn from (default: 20)",
    )  # fmt: skip
    p.add_argument(
        "--buildings", type=int, default=2000, metavar="N",
        help="buildings of a town's map (default: 2000)",
    )  # fmt: skip
    p.add_argument(
        "--method", choices=METHODS, default=METHODS[0],
        help=f"of the estimate (default: {METHODS[0]})",
    )  # fmt: skip
    p.add_argument(
        "--grouping", type=float, default=1.0, metavar="G",
        help="of missed buildings: less than 1, fewer and denser groups (default: 1)",
    )  # fmt: skip
    p.add_argument(
        "--seed", type=int, default=0, metavar="K", help="of what is random (default: 0)"
    )
    p.add_argument("--out", type=Path, metavar="FILE", help="write what was measured as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    if args.towns < 1 or args.draws < args.towns:
        raise ConfigError("--towns and --draws: expected 1 town or more, and a draw for each")
    from benchmarks.counts_towns import Outcome, judged, settings, summary, table
    from runtime.files import write_json

    outcomes: list[Outcome] = []
    for each in settings(args.buildings, args.grouping):
        outcomes += judged(each, args.draws, args.towns, args.seed, args.method)
    print(table(outcomes))
    print()
    print(summary(outcomes))
    if args.out:
        write_json(args.out, [asdict(each) for each in outcomes])


if __name__ == "__main__":
    cli.run(parser(), main)

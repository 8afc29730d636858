"""Totals of a map that can be defended: a sample to check, and an estimate."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from runtime import cli
from runtime.errors import ConfigError

ACTIONS = ("sample", "check", "estimate")


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m runtime.counts",
        usage="%(prog)s sample MAP [--n N] [option ...]\n       "
        "%(prog)s check MAP ROW CLASS\n       %(prog)s estimate MAP [option ...]",
        description="Totals of a map that can be defended. sample draws buildings, and cells of "
        "ground to search for missed ones, into MAP/sample.gpkg, to be checked in QGIS or on the "
        "page; check fills one row of it; estimate gives totals by class with intervals.",
    )
    p.add_argument("action", choices=ACTIONS, metavar="ACTION", help=" or ".join(ACTIONS))
    p.add_argument("map", type=Path, metavar="MAP", help="folder of a finished map")
    p.add_argument("row", nargs="?", type=int, metavar="ROW", help="of check: number of a row")
    p.add_argument(
        "true_class", nargs="?", metavar="CLASS", help="of check: what it is; of a cell, "
        "nothing-missed, missed-are-drawn, or nothing and --missed",
    )  # fmt: skip
    sample = p.add_argument_group("sample")
    sample.add_argument(
        "--n", type=int, default=200, metavar="N", help="buildings to check (default: 200)"
    )
    sample.add_argument(
        "--cells", type=int, metavar="N",
        help="cells to search for missed buildings; 0: none (default: half of --n)",
    )  # fmt: skip
    sample.add_argument(
        "--cell", type=int, metavar="PX", help="side of a cell (default: 128, less in small scenes)"
    )
    sample.add_argument("--seed", type=int, default=0, metavar="K", help="of the draw (default: 0)")
    sample.add_argument(
        "--replace", action="store_true", help="move a sample that is there aside, draw another"
    )
    check = p.add_argument_group("check")
    check.add_argument(
        "--missed", nargs="+", default=[], metavar="CLASS=N",
        help="missed buildings in a cell, by class",
    )  # fmt: skip
    check.add_argument(
        "--class-seen", choices=("yes", "no"), metavar="ANSWER",
        help="was what the map says in sight? (default: kept as not known)",
    )  # fmt: skip
    estimate = p.add_argument_group("estimate")
    estimate.add_argument(
        "--method", choices=("prediction-powered", "stratified"), default="prediction-powered",
        help="with what the map's shares say, or its classes alone (default: prediction-powered)",
    )  # fmt: skip
    estimate.add_argument(
        "--level", type=float, default=0.95, metavar="P", help="of the intervals (default: 0.95)"
    )
    estimate.add_argument(
        "--partial", action="store_true",
        help="leave rows that are not checked out, as if a lot had chosen the others",
    )  # fmt: skip
    p.add_argument("--json", action="store_true", help="print the result as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    if args.action != "check" and (args.row is not None or args.missed or args.class_seen):
        raise ConfigError(f"{args.action}: takes the folder of a map alone; see --help")
    cli.prepare_opencv()
    if args.action == "sample":
        _sample(args)
    elif args.action == "check":
        _check(args)
    else:
        _estimate(args)


def _sample(args: argparse.Namespace) -> None:
    from runtime.counts.drawing import draw

    found = draw(args.map, args.n, args.cells, args.seed, args.cell, args.replace)
    kinds = [each.kind for each in found.rows]
    content = {
        "sample": str(found.path),
        "buildings": kinds.count("building"),
        "cells": kinds.count("cell"),
        "known": len(found.known),
        **found.design,
    }
    if args.json:
        print(json.dumps(content, indent=2))
        return
    print(
        f"{content['buildings']} buildings and {content['cells']} cells to check: {found.path}\n"
        "fill true_class in each row (in QGIS: toggle editing, choose from the list), or use the "
        f"page or dual-hrnet counts check; then: dual-hrnet counts estimate {args.map}"
    )


def _check(args: argparse.Namespace) -> None:
    from runtime.counts.sample import Sample

    if args.row is None or (args.true_class is None and not args.missed):
        raise ConfigError("check: expected ROW and CLASS, or ROW and --missed CLASS=N")
    missed: dict[str, int] = {}
    for text in args.missed:
        name, _, number = text.partition("=")
        if not number.isdecimal():
            raise ConfigError(f"--missed {text}: expected CLASS=N, such as destroyed=2")
        missed[name] = int(number)
    seen = None if args.class_seen is None else args.class_seen == "yes"
    Sample(args.map).check(args.row, args.true_class, missed, seen)


def _estimate(args: argparse.Namespace) -> None:
    from runtime.counts.telling import table
    from runtime.counts.totals import estimate

    content = estimate(args.map, args.method, args.partial, args.level)
    print(json.dumps(content, indent=2) if args.json else table(content))


if __name__ == "__main__":
    cli.run(parser(), main)

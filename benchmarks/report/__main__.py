"""Write one self-contained page on what engines cost and are worth.

`--figures` takes what the other benchmarks wrote, in any order: each file says what it is.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import cli
from runtime.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.report.figures import Findings
    from train.xbd import Tile

PICTURES = 4


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    many = {"nargs": "+", "action": "extend", "type": Path, "default": []}
    p.add_argument(
        "--engine", metavar="DIR", help="engine folders to describe (default: none)", **many
    )
    p.add_argument("--data", required=True, type=Path, metavar="DIR", help="xBD data set")
    p.add_argument(
        "--split", metavar="NAME", default="test", help="the split that was scored (default: test)"
    )
    p.add_argument(
        "--figures",
        metavar="FILE",
        help="what accuracy, agreement, robustness, peers or pareto wrote with --out, and "
        "pytest benchmarks --benchmark-json",
        **many,
    )
    p.add_argument(
        "--pictures",
        type=int,
        default=PICTURES,
        metavar="N",
        help=f"tiles to show (default: {PICTURES})",
    )
    p.add_argument("--no-plans", action="store_true", help="leave out what the compilers made")
    p.add_argument(
        "--command",
        action="append",
        default=[],
        metavar="TEXT",
        help="a command to name in the provenance, repeatable",
    )
    p.add_argument("--out", required=True, type=Path, metavar="FILE", help="HTML page to write")
    p.add_argument(
        "--markdown", type=Path, metavar="FILE", help="also the figures in short, as Markdown"
    )
    return p


def main(args: argparse.Namespace) -> None:
    if not args.engine:
        raise ConfigError("--engine: give at least one engine folder")
    if args.pictures < 0:
        raise ConfigError(f"--pictures is {args.pictures}; expected 0 or more")

    from benchmarks.report.collect import collect
    from benchmarks.report.markdown import markdown
    from benchmarks.report.page import Made, render
    from benchmarks.report.plans import plans
    from benchmarks.report.scenes import gather
    from benchmarks.report.verdict import verdicts
    from runtime.files import check_file, write_bytes
    from train.xbd import find_tiles

    for path in (args.out, args.markdown):
        if path is not None:
            check_file(path)
    findings = collect(args.engine, args.figures)
    tiles = find_tiles(args.data, args.split)
    _check_data(findings, tiles, args)
    found = verdicts(findings.engines)
    cli.note(f"choosing {min(args.pictures, len(tiles))} of {len(tiles)} tiles")
    gallery = gather(findings, found, tiles, args.pictures) if args.pictures else None
    compiled = [] if args.no_plans else plans(findings.engines)
    page = render(findings, found, gallery, compiled, Made.here(args.command))
    write_bytes(args.out, page.encode())
    cli.note(f"{args.out}: {len(found)} engines, {args.out.stat().st_size / 1e6:.1f} MB")
    if args.markdown is not None:
        write_bytes(args.markdown, markdown(findings, found).encode())


def _check_data(findings: Findings, tiles: Sequence[Tile], args: argparse.Namespace) -> None:
    """The pictures must show what the scores were taken on."""
    from benchmarks.dataset import fingerprint

    scored = [each.accuracy.data for each in findings.engines if each.accuracy is not None]
    if scored and scored[0]["fingerprint"] != fingerprint(tiles):
        raise ConfigError(
            f"--data {args.data} --split {args.split}: not the tiles that the accuracy was "
            f"measured on ({scored[0]['name']}/{scored[0]['split']}, {scored[0]['tiles']} tiles); "
            "give those, or measure again"
        )


if __name__ == "__main__":
    cli.run(parser(), main)

"""One self-contained page on what engines cost and are worth: ``python -m benchmarks.report``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import cli
from runtime.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.report.figures import EngineFigures
    from train.xbd import Tile

PICTURES = 4


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    many = {"nargs": "+", "action": "extend", "type": Path, "default": []}
    p.add_argument("--engine", metavar="DIR", help="engine folders", **many)
    p.add_argument("--data", required=True, type=Path, metavar="DIR", help="xBD data set")
    p.add_argument("--split", default="test", help="the split that was scored (default: test)")
    p.add_argument("--accuracy", metavar="FILE", help="of benchmarks.accuracy --out", **many)
    p.add_argument(
        "--latency", type=Path, metavar="FILE", help="of pytest benchmarks --benchmark-json"
    )
    p.add_argument(
        "--pictures", type=int, default=PICTURES, help=f"tiles to show (default: {PICTURES})"
    )
    p.add_argument(
        "--command", action="append", default=[], help="a command to name in the provenance"
    )
    p.add_argument("--out", required=True, type=Path, metavar="report.html")
    return p


def main(args: argparse.Namespace) -> None:
    if not args.engine:
        raise ConfigError("--engine: give at least one engine folder")
    if args.pictures < 0:
        raise ConfigError(f"--pictures is {args.pictures}; expected 0 or more")

    from benchmarks.dataset import richest
    from benchmarks.machine import describe_machine
    from benchmarks.report.figures import collect
    from benchmarks.report.page import render
    from benchmarks.report.pictures import paint_scenes
    from runtime.files import write_bytes
    from train.xbd import find_tiles

    engines = collect(args.engine, args.accuracy, args.latency)
    tiles = find_tiles(args.data, args.split)
    _check_data(engines, tiles, args)
    cli.note(f"choosing {min(args.pictures, len(tiles))} of {len(tiles)} tiles")
    scenes = paint_scenes(engines, richest(tiles, args.pictures)) if args.pictures else []
    page = render(engines, scenes, args.command, describe_machine())
    write_bytes(args.out, page.encode())
    cli.note(f"{args.out}: {len(engines)} engines, {args.out.stat().st_size / 1e6:.1f} MB")


def _check_data(
    engines: Sequence[EngineFigures], tiles: Sequence[Tile], args: argparse.Namespace
) -> None:
    """The pictures must show what the scores were taken on."""
    from benchmarks.dataset import fingerprint

    scored = [each.accuracy.data for each in engines if each.accuracy is not None]
    if scored and scored[0]["fingerprint"] != fingerprint(tiles):
        raise ConfigError(
            f"--data {args.data} --split {args.split}: not the tiles that --accuracy was measured "
            f"on ({scored[0]['name']}/{scored[0]['split']}, {scored[0]['tiles']} tiles); "
            "give those, or measure again"
        )


if __name__ == "__main__":
    cli.run(parser(), main)

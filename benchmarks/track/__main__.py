"""Keep the figures of run after run in one file.

RUN.json is a file of `pytest benchmarks --benchmark-json`, of `benchmarks.accuracy --out` or of
`benchmarks.peers --out`. One line is added for it, once: the commit, the time, the machine, and
each figure with its median, 90th percentile and number of samples. --plot draws all lines.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from runtime import cli
from runtime.errors import ConfigError

PLOTS = (".png", ".svg", ".pdf")


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.track", description=__doc__)
    p.add_argument(
        "run",
        type=Path,
        nargs="?",
        metavar="RUN.json",
        help="figures to add (default: none, only --plot)",
    )
    p.add_argument(
        "--history", required=True, type=Path, metavar="FILE", help="history to add to, JSON lines"
    )
    p.add_argument(
        "--plot", type=Path, metavar="FILE", help=f"draw the history ({', '.join(PLOTS)})"
    )
    return p


def main(args: argparse.Namespace) -> None:
    if args.plot is not None and args.plot.suffix.lower() not in PLOTS:
        raise ConfigError(f"--plot {args.plot}: expected a file name with {', '.join(PLOTS)}")
    if args.run is None and args.plot is None:
        raise ConfigError("nothing to do; give RUN.json to add it, --plot FILE to draw, or both")
    from benchmarks.track.history import append, read_history

    if args.run is not None:
        from benchmarks.track.runs import read_run

        added = append(args.history, read_run(args.run))
        cli.note(f"{args.run}: {'added to' if added else 'is already in'} {args.history}")
    if args.plot is not None:
        from benchmarks.track.trend import draw

        draw(read_history(args.history), args.plot)


if __name__ == "__main__":
    cli.run(parser(), main)

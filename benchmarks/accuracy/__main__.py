"""Measure how right an engine is on labelled tiles.

The official xView2 score with its parts, the same by building and by disaster, how far its
confidence can be trusted, and the tiles that it gets most wrong.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli

if TYPE_CHECKING:
    from benchmarks.accuracy.score import Scored
    from runtime.engine import Engine
    from train.xbd import Tile

WORST = 3
"""Tiles that the terminal names."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    p.add_argument("--engine", required=True, type=Path, metavar="DIR", help="engine folder")
    p.add_argument("--data", required=True, type=Path, metavar="DIR", help="xBD data set")
    p.add_argument(
        "--split", metavar="NAME", default="test", help="labelled split of it (default: test)"
    )
    p.add_argument(
        "--threads", type=int, metavar="N", help="processor threads (default: physical cores)"
    )
    p.add_argument(
        "--out", type=Path, metavar="FILE", help="write the figures as JSON, for a report"
    )
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from benchmarks.accuracy.score import score_engine
    from runtime.engine import load_engine
    from runtime.files import check_file, write_json
    from train.evaluate import labelled_tiles

    if args.out is not None:
        check_file(args.out)
    tiles = labelled_tiles(args.data, args.split)
    with load_engine(args.engine, args.threads) as engine:
        scored = score_engine(engine, tqdm(tiles, desc=f"{args.engine.name}", unit="tile"))
        record = _record(engine, scored, args, tiles)
    if args.out is not None:
        write_json(args.out, record)
    print(json.dumps(record, indent=2) if args.json else table(record, scored))


def _record(
    engine: Engine, scored: Scored, args: argparse.Namespace, tiles: list[Tile]
) -> dict[str, Any]:
    from benchmarks.dataset import describe_data
    from benchmarks.engines import identify
    from benchmarks.machine import describe_machine

    return {
        "kind": "accuracy",
        "engine": {
            **identify(args.engine, engine.manifest),
            "run_with": engine.backend_version,
        },
        "data": describe_data(args.data, args.split, tiles),
        "machine": describe_machine(),
        "figures": scored.as_dict(),
    }


def table(record: dict[str, Any], scored: Scored) -> str:
    """What a person reads: the evaluation, its confidence, and the worst tiles."""
    from train.evaluate import report

    engine, data = record["engine"], record["data"]
    title = (
        f"{engine['name']}: {engine['precision']} on {engine['backend']} {engine['run_with']}, "
        f"{data['tiles']} tiles of {data['name']}/{data['split']}"
    )
    if scored.windows > 1:
        title += f", in windows of {engine['height']}x{engine['width']}"
    blocks = [
        report(scored.whole, scored.disasters),
        _confidence(record["figures"]["confidence"]),
        _worst(scored),
    ]
    return "\n".join([title, textwrap.indent("\n\n".join(blocks), "  ")])


def _confidence(figures: dict[str, Any]) -> str:
    if figures["ece"] is None:
        return f"confidence: no {figures['over']}"
    lines = [
        f"confidence: expected calibration error {figures['ece']:.4f} over {figures['pixels']} "
        f"{figures['over']}",
        f"{'from':>6}{'to':>7}{'pixels':>11}{'confidence':>12}{'accuracy':>10}",
    ]
    lines += [
        f"{b['low']:>6.3f}{b['high']:>7.3f}{b['count']:>11}{b['confidence']:>12.4f}"
        f"{b['accuracy']:>10.4f}"
        for b in figures["bins"]
    ]
    return "\n".join(lines)


def _worst(scored: Scored) -> str:
    lines = ["most wrong pixels"]
    lines += [f"{tile.share:>7.2%}  {tile.name}" for tile in scored.worst(WORST)]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)

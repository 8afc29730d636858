"""The official xView2 score of an engine: ``python -m benchmarks.accuracy``."""

from __future__ import annotations

import argparse
import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli

if TYPE_CHECKING:
    from runtime.engine import Engine
    from runtime.score import Counts
    from train.xbd import Tile


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    p.add_argument("--engine", required=True, type=Path, metavar="DIR", help="engine folder")
    p.add_argument("--data", required=True, type=Path, metavar="DIR", help="xBD data set")
    p.add_argument("--split", default="test", help="labelled split of it (default: test)")
    p.add_argument("--threads", type=int, metavar="N", help="default: physical cores")
    p.add_argument(
        "--out", type=Path, metavar="FILE", help="write the figures as JSON, for a report"
    )
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from benchmarks.accuracy.score import score_engine
    from runtime.engine import load_engine
    from runtime.files import write_json
    from train.xbd import find_tiles

    tiles = find_tiles(args.data, args.split)
    with load_engine(args.engine, args.threads) as engine:
        counts = score_engine(engine, tqdm(tiles, desc=f"{args.engine.name}", unit="tile"))
        record = _record(engine, counts, args, tiles)
    if args.out is not None:
        write_json(args.out, record)
    print(json.dumps(record, indent=2) if args.json else _table(record, counts))


def _record(
    engine: Engine, counts: Counts, args: argparse.Namespace, tiles: list[Tile]
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
        "figures": counts.as_dict(),
    }


def _table(record: dict[str, Any], counts: Counts) -> str:
    from train.evaluate import summary

    engine, data = record["engine"], record["data"]
    title = (
        f"{engine['name']}: {engine['precision']} on {engine['backend']} {engine['run_with']}, "
        f"{data['tiles']} tiles of {data['name']}/{data['split']}"
    )
    return "\n".join([title, textwrap.indent(summary(counts), "  ")])


if __name__ == "__main__":
    cli.run(parser(), main)

"""Map many pairs: ``python -m runtime.batch --engine DIR --pairs FILE|XBD_DIR --out DIR``."""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import json
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import cli
from runtime.errors import ConfigError
from runtime.options import add_options, map_options

if TYPE_CHECKING:
    from runtime.many.workers import Outcome

FAILED = "failed.csv"
_NOTE_EVERY = 10.0  # seconds


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m runtime.batch",
        description="Map building damage from many pairs of images, on Ray. The maps of a pair "
        "go to OUT/NAME/; a pair that is there is not mapped again, so an interrupted run goes "
        f"on with the same command. Pairs that cannot be mapped are listed in OUT/{FAILED}.",
        epilog="Exit code: 0 all pairs are mapped, 1 some are not or have parts that could not be "
        "computed, 2 the command cannot be used.",
    )
    parser.add_argument("--engine", type=Path, required=True, metavar="DIR", help="engine folder")
    parser.add_argument(
        "--pairs",
        type=Path,
        required=True,
        metavar="FILE|XBD_DIR",
        help="CSV file with the columns pre,post and, optionally, name (paths are relative to the "
        "file), or a folder with images/ or SPLIT/images/ in xBD's layout",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="engines at work (default: 1)"
    )
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="processor threads of one engine (default: the physical cores, divided among the "
        "workers; 1 with --address)",
    )
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="a Ray cluster, whose machines have this toolkit and see the same folders "
        "(default: start Ray here)",
    )
    parser.add_argument("--json", action="store_true", help="print the totals as JSON")
    add_options(parser)
    return parser


def main(args: argparse.Namespace) -> int:
    options = map_options(args)
    if args.workers < 1:
        raise ConfigError(f"--workers is {args.workers}; expected 1 or more")
    from runtime.engine import check_device
    from runtime.host import physical_cores
    from runtime.manifest import Manifest
    from runtime.many.outbox import clear, holding, is_done
    from runtime.many.pairs import find_pairs

    start = time.monotonic()
    pairs = find_pairs(args.pairs)
    manifest = Manifest.read(args.engine)
    if args.device is not None:
        check_device(manifest, args.engine, args.device)
    manifest.check_payload(args.engine)  # before Ray takes its seconds to start
    _check_ray()
    from runtime.many.workers import Job, check_address, map_all

    if args.address:
        check_address(args.address)
    cores = 1 if args.address else max(1, physical_cores() // args.workers)
    out = args.out.absolute()  # workers have another working folder
    job = Job(
        args.engine.absolute(), out, options, args.workers, args.threads or cores, args.address,
        args.device,
    )  # fmt: skip
    with holding(out):
        todo = [pair for pair in pairs if not is_done(out, pair.name)]
        clear(out, {pair.name for pair in todo})
        outcomes = _told(map_all(todo, job), len(todo)) if todo else []
        failed = [each for each in outcomes if each.reason is not None]
        _write_failed(out / FAILED, failed)
    totals = {
        "pairs": len(pairs),
        "done": len(todo) - len(failed),
        "skipped": len(pairs) - len(todo),
        "failed": len(failed),
        "with_holes": sum(each.holes > 0 for each in outcomes),
        "seconds": round(time.monotonic() - start, 3),
        "out": str(args.out),
    }
    print(json.dumps(totals, indent=2) if args.json else _line(totals))
    return 1 if failed or totals["with_holes"] else 0


def _told(outcomes: Iterable[Outcome], count: int) -> list[Outcome]:
    """All of them; what a person should know is told as they come."""
    told = []
    noted = math.inf  # Ray takes its time to start
    for number, outcome in enumerate(outcomes, 1):
        told.append(outcome)
        noted = min(noted, time.monotonic())
        if outcome.reason is not None:
            cli.note(f"failed: {outcome.pair.name}: {outcome.reason}")
        if outcome.holes:
            cli.note(f"{outcome.pair.name}: {outcome.holes} windows could not be computed")
        if time.monotonic() - noted > _NOTE_EVERY:
            noted = time.monotonic()
            cli.note(f"{number} of {count} pairs")
    return told


def _write_failed(path: Path, failed: Sequence[Outcome]) -> None:
    """A list that --pairs takes again; none when nothing failed, also none of an earlier run."""
    from runtime.files import write_bytes

    if not failed:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["name", "pre", "post", "reason"])
    for outcome in failed:
        pair = outcome.pair
        table.writerow([pair.name, pair.pre, pair.post, outcome.reason])
    write_bytes(path, text.getvalue().encode(errors="surrogateescape"))


def _check_ray() -> None:
    for package in ("ray", "pyarrow", "pandas"):
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"{package} is not installed, batches run on Ray Data; "
                'pip install "dual-hrnet-edge[ray]"'
            )


def _line(totals: dict[str, object]) -> str:
    holes = f", {totals['with_holes']} have parts without a result" if totals["with_holes"] else ""
    return (
        f"{totals['done']} pairs mapped, {totals['skipped']} were there before, "
        f"{totals['failed']} failed{holes}, in {totals['seconds']} s; results in {totals['out']}"
    )


if __name__ == "__main__":
    cli.run(parser(), main)

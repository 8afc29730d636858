"""Map many pairs of images, on Ray."""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib.util
import io
import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import cli
from runtime.errors import ConfigError
from runtime.options import add_options, groups_of, map_options
from runtime.trust import setting

if TYPE_CHECKING:
    from runtime.manifest import Manifest
    from runtime.many.pairs import Pair
    from runtime.many.workers import Job, Outcome

FAILED = "failed.csv"
_NOTE_EVERY = 10.0  # seconds


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m runtime.batch",
        usage="%(prog)s --engine DIR --pairs FILE --out DIR [option ...]",
        description="Map many pairs of images, on Ray. The maps of a pair go to OUT/NAME/. A pair "
        "that is there is not mapped again, so an interrupted run goes on with the same command; "
        "maps of other images, another engine or other options are named and left. Pairs without "
        f"maps of their own are listed in OUT/{FAILED}.",
        epilog="Exit code: 0 all pairs are mapped, 1 some are not, have parts that could not be "
        "computed, or have maps of something else, 2 the command cannot be used.",
    )
    parser.add_argument("--engine", type=Path, required=True, metavar="DIR", help="engine folder")
    parser.add_argument(
        "--pairs",
        type=Path,
        required=True,
        metavar="FILE",
        help="CSV with the columns pre,post and perhaps name (paths are relative to it), or a "
        "folder in xBD's layout, with images/ or SPLIT/images/",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="output folder, of all pairs"
    )
    groups = groups_of(parser)
    add_options(groups, "physical cores, divided among workers; 1 with --address")
    groups.maps.add_argument("--json", action="store_true", help="print the totals as JSON")
    groups.speed.add_argument(
        "--workers", type=int, default=1, metavar="N", help="engines at work (default: 1)"
    )
    groups.speed.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="Ray cluster, whose machines have this toolkit and see the same folders (default: "
        "start Ray here)",
    )
    groups.going_on.add_argument(
        "--redo",
        action="store_true",
        help="replace maps of other images, another engine or other options, and those with parts "
        "without a result, each once the new ones are whole",
    )
    return parser


def main(args: argparse.Namespace) -> int:
    options = map_options(args)
    if args.workers < 1:
        raise ConfigError(f"--workers is {args.workers}; expected 1 or more")
    from runtime.engine import check_device, check_mode
    from runtime.host import physical_cores
    from runtime.manifest import Manifest
    from runtime.many.listing import name_some
    from runtime.many.outbox import clear, holding
    from runtime.many.pairs import check_text, find_pairs, not_taken

    start = time.monotonic()
    check_text(args.engine.absolute(), args.out.absolute())
    pairs = find_pairs(args.pairs)
    ignored = not_taken(args.pairs) if args.pairs.is_dir() else []
    if ignored:
        cli.note(f"{name_some(ignored, 'file')} in images/ belong to no pair, left out")
    manifest = Manifest.read(args.engine)
    if args.device is not None:
        check_device(manifest, args.engine, args.device)
    check_mode(manifest, args.engine, args.mode)
    manifest.check_payload(args.engine)  # before Ray takes its seconds to start
    _check_ray()
    from runtime.many.workers import Job, check_address, map_all, payload_sha256

    if args.address:
        check_address(args.address)
    cores = 1 if args.address else max(1, physical_cores() // args.workers)
    out = args.out.absolute()  # workers have another working folder
    job = Job(
        args.engine.absolute(),
        payload_sha256(manifest),
        out,
        options,
        args.workers,
        args.threads or cores,
        args.address,
        args.device,
        args.mode,
        args.redo,
        setting.option(),
    )
    with holding(out):
        _forget(out / FAILED, args.pairs, pairs)
        there = _there_before(pairs, job, manifest)
        known = {each.pair.name for each in there}
        todo = [pair for pair in pairs if pair.name not in known]
        clear(out, {pair.name for pair in todo})
        outcomes: list[Outcome] = []
        try:
            for outcome in _told(map_all(todo, job), len(todo)) if todo else ():
                outcomes.append(outcome)
        except BaseException as error:
            with contextlib.suppress(OSError):  # what ended the run is what has to be told
                _write_failed(
                    out / FAILED, [*there, *outcomes, *_untried(todo, outcomes, job, error)]
                )
            raise
        failed = [each for each in outcomes if each.reason is not None]
        _write_failed(out / FAILED, [*there, *outcomes])
    stale = sum(each.reason is not None for each in there)
    totals = {
        "pairs": len(pairs),
        "done": len(todo) - len(failed),
        "skipped": len(there) - stale,
        "stale": stale,
        "failed": len(failed),
        "with_holes": sum(each.holes > 0 for each in [*there, *outcomes]),
        "ignored": len(ignored),
        "seconds": round(time.monotonic() - start, 3),
        "out": str(args.out),
    }
    print(json.dumps(totals, indent=2) if args.json else _line(totals))
    return 1 if failed or stale or totals["with_holes"] else 0


def _there_before(pairs: Sequence[Pair], job: Job, manifest: Manifest) -> list[Outcome]:
    """Of the pairs that need no work: their maps are there, or those of something else are."""
    from runtime.many.outbox import is_done, windows_without_result
    from runtime.many.sources import Sources, of_engine, stale
    from runtime.many.workers import STALE_ADVICE, Outcome

    there = []
    engine = of_engine(manifest)
    noted = time.monotonic()
    for number, pair in enumerate(pairs, 1):
        if not is_done(job.out, pair.name):
            continue
        folder = job.out / pair.name
        sources = Sources.of(pair, job.options)
        other = stale(folder, {**sources.note, "engine": engine})
        holes = windows_without_result(job.out, pair.name)
        if sources.one_image or (job.redo and (other or holes)):
            continue
        why = f"{other.line}; {STALE_ADVICE}" if other else None
        there.append(Outcome(pair, why, 0 if why else holes))
        _tell(there[-1], "stale")
        if time.monotonic() - noted > _NOTE_EVERY:
            noted = time.monotonic()
            cli.note(f"{number} of {len(pairs)} pairs looked at")
    return there


def _told(outcomes: Iterable[Outcome], count: int) -> Iterator[Outcome]:
    """The same; what a person should know is told as they come."""
    noted = math.inf  # Ray takes its time to start
    for number, outcome in enumerate(outcomes, 1):
        noted = min(noted, time.monotonic())
        _tell(outcome, "failed")
        if time.monotonic() - noted > _NOTE_EVERY:
            noted = time.monotonic()
            cli.note(f"{number} of {count} pairs")
        yield outcome


def _tell(outcome: Outcome, what: str) -> None:
    if outcome.reason is not None:
        cli.note(f"{what}: {outcome.pair.name}: {outcome.reason}")
    if outcome.holes:
        cli.note(f"{outcome.pair.name}: {outcome.holes} windows could not be computed")


def _forget(path: Path, given: Path, pairs: Sequence[Pair]) -> None:
    """The list of an earlier run says nothing of this one, which may be killed at any time.

    Where it is what --pairs gives, its pairs stay, but not what was said of them.
    """
    from runtime.many.workers import Outcome

    if path.exists() and path.samefile(given):
        why = "not tried, the run did not come to its end"
        _write_failed(path, [Outcome(pair, why, 0) for pair in pairs])
    else:
        path.unlink(missing_ok=True)


def _untried(
    todo: Sequence[Pair], outcomes: Sequence[Outcome], job: Job, error: BaseException
) -> list[Outcome]:
    """What the run did not come to; a worker that died may have mapped a pair and not said so."""
    from runtime.errors import reason
    from runtime.many.outbox import is_done
    from runtime.many.workers import Outcome

    known = {each.pair.name for each in outcomes}
    if not job.redo:  # else what is there may be what was to be replaced
        known |= {pair.name for pair in todo if is_done(job.out, pair.name)}
    why = f"not tried, the run ended: {reason(error)}"
    return [Outcome(pair, why, 0) for pair in todo if pair.name not in known]


def _write_failed(path: Path, outcomes: Sequence[Outcome]) -> None:
    """A list that --pairs takes again; none when nothing failed."""
    from runtime.files import write_bytes

    failed = [each for each in outcomes if each.reason is not None]
    if not failed:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["name", "pre", "post", "reason"])
    for outcome in failed:
        pair = outcome.pair
        table.writerow([pair.name, pair.pre, pair.post, outcome.reason])
    write_bytes(path, text.getvalue().encode(errors="backslashreplace"))


def _check_ray() -> None:
    for package in ("ray", "pyarrow", "pandas"):
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"{package} is not installed, batches run on Ray Data; {cli.install('ray')}"
            )


def _line(totals: dict[str, object]) -> str:
    holes = f", {totals['with_holes']} have parts without a result" if totals["with_holes"] else ""
    stale = f", {totals['stale']} have maps of something else" if totals["stale"] else ""
    return (
        f"{totals['done']} pairs mapped, {totals['skipped']} were there before, "
        f"{totals['failed']} failed{stale}{holes}, in {totals['seconds']} s; "
        f"results in {totals['out']}"
    )


if __name__ == "__main__":
    cli.run(parser(), main)

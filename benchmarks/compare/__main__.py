"""Tell whether a run of the latency suites is slower than another.

Figures are paired by engine name, scope, scenario and batch. Each pair gets the ratio of the
medians, after / before, with a 95 % interval (circular block bootstrap), and a verdict:

  regression     the ratio is above 1 + R, and the whole interval is above 1
  slower         the whole interval is above 1 + R/2
  faster         the whole interval is below 1 / (1 + R/2)
  no difference  anything else: less than the machine's own wander from run to run

R is --regression. Of fewer than 8 samples (maps, cold starts) the interval is that of the
least and the greatest ratio. The exit code is 1 where there is a regression, 2 where the files
do not compare (another machine, other threads, another network, size, precision or library).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli
from runtime.errors import ConfigError

if TYPE_CHECKING:
    from benchmarks.compare.bootstrap import Ratio
    from benchmarks.compare.pairs import Pair
    from benchmarks.latency.figures import Latency

REGRESSION, SLOWER, FASTER, SAME = "regression", "slower", "faster", "no difference"
REFUSED = 2


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "before", type=Path, metavar="A.json", help="earlier run, of pytest --benchmark-json"
    )
    p.add_argument("after", type=Path, metavar="B.json", help="later run")
    p.add_argument(
        "--regression", type=float, default=0.10, metavar="R",
        help="slow-down that fails, as a share (default: 0.10)",
    )  # fmt: skip
    p.add_argument(
        "--force",
        action="store_true",
        help="compare engines of another network, size, precision or library",
    )
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> int:
    if not args.regression > 0:
        raise ConfigError(f"--regression {args.regression}: expected a share above 0, like 0.10")
    from benchmarks.compare.bootstrap import CONFIDENCE, ratio_of_medians
    from benchmarks.compare.pairs import pairs_of, refusals, unpaired
    from benchmarks.latency.figures import read_figures

    before, after = read_figures(args.before), read_figures(args.after)
    pairs = pairs_of(before, after)
    refused = refusals(pairs, (args.before, args.after), args.force)
    for line in refused:
        cli.note(f"error: not compared: {line}")
    if refused:
        return REFUSED
    for file, alone in (
        (args.before, unpaired(before, after)),
        (args.after, unpaired(after, before)),
    ):
        for each in alone:
            cli.note(f"not compared: {each.name} is in {file} alone")
    for file, figures in ((args.before, before), (args.after, after)):
        if busy := busy_load(figures):
            cli.note(f"{file}: other processes ran beside it (load {busy:g}); measure it again")
    rows = [
        row(pair, ratio_of_medians(pair[0].seconds, pair[1].seconds), args.regression)
        for pair in pairs
    ]
    record = {
        "kind": "comparison",
        "before": str(args.before),
        "after": str(args.after),
        "regression": args.regression,
        "method": "circular block bootstrap of the ratio of medians, percentile interval",
        "confidence": CONFIDENCE,
        "figures": rows,
    }
    print(json.dumps(record, indent=2) if args.json else table(rows))
    return int(any(each["verdict"] == REGRESSION for each in rows))


def verdict(found: Ratio, regression: float) -> str:
    """See the module's first lines."""
    noticeable = 1 + regression / 2
    if found.ratio > 1 + regression and found.lower > 1:
        return REGRESSION
    if found.lower > noticeable:
        return SLOWER
    return FASTER if found.upper < 1 / noticeable else SAME


def busy_load(figures: Sequence[Latency]) -> float | None:
    """The highest load, where it is more than a run of its own makes: its threads, and one."""
    loads = [
        load
        for each in figures
        if (load := each.machine.get("load")) and load > (each.threads or 1) + 1
    ]
    return max(loads, default=None)


def row(pair: Pair, found: Ratio, regression: float) -> dict[str, Any]:
    """JSON-ready; times in seconds."""
    before, after = pair
    engine, scope, scenario, batch = before.key
    return {
        "engine": engine,
        "scope": scope,
        "scenario": scenario,
        "batch": batch,
        "before_p50": before.p50,
        "after_p50": after.p50,
        "samples": [before.samples, after.samples],
        "blocks": list(found.blocks),
        "ratio": found.ratio,
        "lower": found.lower,
        "upper": found.upper,
        "verdict": verdict(found, regression),
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    names = [
        f"{each['engine']}, {each['scope']}, {each['scenario']}, batch {each['batch']}"
        for each in rows
    ]
    width = max(map(len, names))
    lines = [f"{'':<{width}}{'before ms':>11}{'after ms':>11}{'ratio':>8}{'95 % interval':>17}"]
    lines += [
        f"{name:<{width}}{each['before_p50'] * 1e3:>11.2f}{each['after_p50'] * 1e3:>11.2f}"
        f"{each['ratio']:>8.3f}{each['lower']:>9.3f} -{each['upper']:>6.3f}  {each['verdict']}"
        for name, each in zip(names, rows, strict=True)
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)

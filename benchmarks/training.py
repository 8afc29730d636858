"""Train with several configurations and seeds, and compare the scores.

Every configuration is trained with every variant and every seed, one after the other; the
scores are the official ones of the final weights. Finished runs are not repeated, and
interrupted ones go on.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime import cli
from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES
from runtime.errors import ConfigError, ToolkitError

FIGURES = ("score", "localization_f1", "damage_f1")
CLASSES = [CLASS_NAMES[value] for value in DAMAGE_CLASSES]


@dataclass(frozen=True)
class Variant:
    """One line of the comparison: a configuration and what is changed in it."""

    name: str
    config: Path
    overrides: tuple[str, ...]


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    p.add_argument(
        "--config",
        required=True,
        nargs="+",
        type=Path,
        metavar="YAML",
        help="configurations to train",
    )
    p.add_argument("--data", required=True, type=Path, metavar="DIR", help="xBD data set")
    p.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the runs")
    p.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="'NAME key=value ...'",
        help="a change of each configuration, trained too; may be given several times",
    )
    p.add_argument(
        "overrides", nargs="*", metavar="key=value", help="changes of every configuration"
    )
    p.add_argument(
        "--seeds",
        nargs="+",
        type=int,
        default=[0],
        metavar="N",
        help="seeds to train with (default: 0)",
    )
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    found = {}
    lines = variants(args.config, args.variant, args.overrides)
    check(lines, args.data)
    for variant in lines:
        runs = [args.out / variant.name / f"seed-{seed}" for seed in args.seeds]
        for run, seed in zip(runs, args.seeds, strict=True):
            cli.note(f"{variant.name}, seed {seed}")
            run_training(variant, seed, args.data, run)
        found[variant.name] = average([figures_of(run) for run in runs])
    print(json.dumps(found, indent=2) if args.json else table(found))


def variants(configs: list[Path], changes: list[str], shared: list[str]) -> list[Variant]:
    """Every configuration as it is, then with each change.

    Raises:
        ConfigError: two lines of one name.
    """
    found = []
    for config in configs:
        found.append(Variant(config.stem, config, tuple(shared)))
        for change in changes:
            name, *overrides = shlex.split(change)
            found.append(Variant(f"{config.stem}-{name}", config, (*shared, *overrides)))
    names = [variant.name for variant in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{', '.join(twice)}: named twice; give each line its own name")
    return found


def check(lines: list[Variant], data: Path) -> None:
    """What the last line would stop at is said before the first is trained.

    Raises:
        ConfigError: a configuration, or a change of it, that cannot be used.
        DataError: a split that is absent.
    """
    from train.config_file import load_config
    from train.splits import divide

    for line in lines:
        divide(data, load_config(line.config, list(line.overrides)).data)


def average(runs: list[dict[str, float]]) -> dict[str, Any]:
    """Mean of each figure over the seeds; of the score also every single one."""
    means: dict[str, Any] = {name: statistics.mean(run[name] for run in runs) for name in runs[0]}
    return means | {"scores": [run["score"] for run in runs]}


def table(found: dict[str, dict[str, Any]]) -> str:
    width = max(len(name) for name in found)
    lines = [f"{'':<{width}}  score   loc F1  damage F1  {'  '.join(CLASSES)}  score by seed"]
    for name, figures in found.items():
        by_class = "  ".join(f"{figures[each]:>{len(each)}.3f}" for each in CLASSES)
        by_seed = " ".join(f"{score:.3f}" for score in figures["scores"])
        lines.append(
            f"{name:<{width}}  {figures['score']:.3f}   {figures['localization_f1']:.3f}   "
            f"{figures['damage_f1']:>8.3f}  {by_class}  {by_seed}"
        )
    return "\n".join(lines)


def run_training(variant: Variant, seed: int, data: Path, run: Path) -> None:
    """To the end, in the folder `run`; nothing is done where it has ended already."""
    line = ["--config", variant.config, "--data", data, "--out", run, "--resume"]
    line += [*variant.overrides, f"seed={seed}"]
    result = subprocess.run([sys.executable, "-m", "train", *map(str, line)])
    if result.returncode:
        raise ToolkitError(f"{run}: training failed, see above; run the same command to go on")


def figures_of(run: Path) -> dict[str, float]:
    """Of the final weights: the best ones were chosen on the tiles they are scored on."""
    from train.checkpoint import load_checkpoint

    metrics = load_checkpoint(run / "last.pt").metrics
    if not metrics:
        raise ToolkitError(f"{run}: was stopped before its end; run the same command to go on")
    return {name: metrics[name] for name in FIGURES} | metrics["class_f1"]


if __name__ == "__main__":
    cli.run(parser(), main)

"""Measure what adapting a checkpoint to a new place is worth.

A network is trained on synthetic tiles without fire. It then meets a scene of fire, and a scene of
a disaster that it knows in another sensor's colours; with --real, a network that was trained on
split train of real tiles meets a tile of tier3. Some of the scene's buildings are corrected from
the true labels, and all figures are by building on the others, which no step has seen.

Networks that are in --work already are not trained again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli
from runtime.errors import ConfigError

if TYPE_CHECKING:
    from train.xbd import Tile

TRAINING = (
    "optim.precision=bf16", "data.crop=192",
    "schedule=[{epochs: 1, rate: [1.0e-5, 3.0e-3]}, "
    "{epochs: 8, rate: [3.0e-3, 1.0e-5], shape: cosine}]",
)  # fmt: skip
REAL_TRAINING = (
    "optim.precision=bf16", "data.crop=192", "optim.ema=0.95", "data.crops_per_tile=16",
    "schedule=[{epochs: 1, rate: [1.0e-5, 2.0e-3]}, "
    "{epochs: 7, rate: [2.0e-3, 1.0e-5], shape: cosine}]",
)  # fmt: skip
TILES, TILE, SCENE = 300, 256, 1024
"""Synthetic tiles to train on, their side and that of a scene, pixels."""

FIRE, OTHER_FIRE, QUAKE = 32, 17, 10
"""Numbers of scenes (see `domains`): what is adapted to, another of its kind, one that is known."""
REAL_TILE = "joplin-tornado_00000001"

METHODS = ("lora", "heads")


@dataclass(frozen=True)
class Domain:
    """others: scenes of the same domain, none of whose buildings is corrected."""

    name: str
    checkpoint: Path
    tile: Tile
    others: tuple[Tile, ...] = ()


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.adaptation", description=__doc__)
    p.add_argument(
        "--work", required=True, type=Path, metavar="DIR", help="tiles and networks, kept"
    )
    p.add_argument("--real", type=Path, metavar="DIR", help="real xBD tiles, train and tier3")
    p.add_argument(
        "--checkpoint", type=Path, metavar="CKPT",
        help="adapt this network, and train none",
    )  # fmt: skip
    p.add_argument(
        "--domains", nargs="+", choices=["fire", "colours", "real"], metavar="NAME",
        help="of fire, colours, real (default: those that there is data for)",
    )  # fmt: skip
    p.add_argument(
        "--corrected", nargs="+", type=int, default=[10, 50, 200], metavar="N",
        help="corrected buildings (default: 10 50 200)",
    )  # fmt: skip
    p.add_argument(
        "--methods", nargs="+", choices=METHODS, default=["lora"], metavar="NAME",
        help=f"of {', '.join(METHODS)} (default: lora)",
    )  # fmt: skip
    p.add_argument(
        "--rates",
        nargs="+",
        type=float,
        metavar="R",
        help="learning rates (default: the command's)",
    )
    p.add_argument(
        "--priors", nargs="+", type=float, metavar="N",
        help="windows that the old statistics count as (default: the command's and inf)",
    )  # fmt: skip
    p.add_argument("--steps", type=int, metavar="N", help="of a fit (default: the command's)")
    p.add_argument("--window", type=int, default=128, metavar="PX", help="side (default: 128)")
    p.add_argument(
        "--left-out", action="store_true", help="also what the command itself would decide"
    )
    p.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    from benchmarks.machine import describe_machine
    from runtime.files import check_file, write_json

    if args.out is not None:
        check_file(args.out)
    wanted = args.domains or ["fire", "colours", *(["real"] if args.real else [])]
    if "real" in wanted and args.real is None:
        raise ConfigError("--domains real: needs the real tiles; give --real DIR")
    begun = time.process_time()
    record: dict[str, Any] = {
        "kind": "adaptation",
        "machine": describe_machine(),
        "domains": [measured(each, args) for each in _domains(args, wanted)],
    }
    record["cpu_s"] = round(time.process_time() - begun, 1)
    if args.out is not None:
        write_json(args.out, record)
    print(json.dumps(record, indent=2) if args.json else table(record))


def _domains(args: argparse.Namespace, wanted: Sequence[str]) -> list[Domain]:
    from benchmarks.adaptation import domains
    from train.xbd import find_tiles

    work, found = args.work, []
    work.mkdir(parents=True, exist_ok=True)
    synthetic = args.checkpoint
    if synthetic is None and {"fire", "colours"} & set(wanted):
        world, nofire = work / "world", work / "nofire"
        if not world.exists():
            _run("train.synthesize", "--out", world, "--tiles", TILES, "--size", TILE)
        if not nofire.exists():
            domains.without_kind(world, "fire", nofire)
        synthetic = _trained("demo", nofire, work / "run-nofire", TRAINING)
    for name, numbers, colours in (
        ("fire", (FIRE, OTHER_FIRE), domains.as_it_is),
        ("colours", (QUAKE,), domains.other_colours),
    ):
        if name not in wanted:
            continue
        if not (work / name).exists():
            domains.write_scenes(numbers, SCENE, colours, work / name)
        tiles = {each.name.rpartition("_")[2]: each for each in find_tiles(work / name, "test")}
        first, *others = (tiles[f"{number:08d}"] for number in numbers)
        found.append(Domain(name, synthetic, first, tuple(others)))
    if "real" in wanted:
        tiles = {each.name: each for each in find_tiles(args.real, "tier3")}
        if REAL_TILE not in tiles:
            raise ConfigError(f"--real {args.real}: has no {REAL_TILE} in tier3")
        network = args.checkpoint
        if network is None:
            network = _trained("sample", args.real, work / "run-real", REAL_TRAINING)
        found.append(Domain("real", network, tiles[REAL_TILE]))
    return found


def _trained(config: str, data: Path, run: Path, overrides: Sequence[str]) -> Path:
    """best.pt of a run to its end, however it got there."""
    from train.checkpoint import load_checkpoint
    from train.config_file import load_config
    from train.shipped import find_config

    expected = load_config(find_config(Path(config)), overrides).epochs
    last = run / "last.pt"
    if not last.exists() or load_checkpoint(last).epoch < expected:
        _run("train", "--config", config, "--data", data, "--out", run, "--resume", *overrides)
    return run / "best.pt"


def _run(module: str, *arguments: object) -> None:
    from benchmarks.child import run_module

    run_module(f"python -m {module}", module, arguments)


def measured(domain: Domain, args: argparse.Namespace) -> dict[str, Any]:
    """Figures of one domain, by setting."""
    from benchmarks.adaptation.trials import Trials
    from runtime.files import sha256

    cli.note(f"{domain.name}: {domain.tile.name}, {domain.checkpoint}")
    trials = Trials(domain.checkpoint, domain.tile, domain.others, args.window, max(args.corrected))
    rows = []
    for each in trials.rows(
        args.methods, args.rates, args.priors, args.corrected, args.steps, left_out=args.left_out
    ):
        cli.note(line(each))
        rows.append(each)
    return {
        "domain": domain.name,
        "tile": domain.tile.name,
        "checkpoint_sha256": sha256(domain.checkpoint),
        "buildings": len(trials.pool) + len(trials.scored),
        "scored": len(trials.scored),
        "rows": rows,
    }


def line(row: dict[str, Any]) -> str:
    """One setting, for a person."""
    names = ("accuracy", "f1", "recall")
    figures = [f"{name} {row['scene'][name]:.3f}" for name in names]
    figures.append(f"false alarms {row['scene']['false_alarms']}")
    if row["others"]:
        figures.append("| elsewhere " + " ".join(f"{row['others'][name]:.3f}" for name in names))
    if row.get("left_out"):
        figures.append(f"| {row['left_out']['verdict']}")
    what = "as trained" if row["prior"] is None else f"prior {row['prior']:g}"
    if row["prior"] is None and row["method"]:
        what = "old statistics"
    if row["method"]:
        what += f", {row['corrected']} corrected, {row['method']} {row['rate']:g}"
    return f"  {what:<42} {' '.join(figures)}  ({row['cpu_s']:.0f} CPU s)"


def table(record: dict[str, Any]) -> str:
    blocks = []
    for each in record["domains"]:
        head = f"{each['domain']}: {each['tile']}, scored on {each['scored']} buildings"
        blocks.append("\n".join([head, *map(line, each["rows"])]))
    return "\n\n".join(blocks)


if __name__ == "__main__":
    cli.run(parser(), main)

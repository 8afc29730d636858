"""Measure the updates of weights and averages, and the saves, of a training run.

The update of a network's weights and of their average, and how long a save holds the run. Both
ways take turns in one process, on the processor; what is compared is processor time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import cli
from runtime.errors import ConfigError

if TYPE_CHECKING:
    from train.learner import Learner
    from train.model import DualHRNet

W48 = Path("w48")


@dataclass(frozen=True)
class Comparison:
    """Processor seconds, the median of the rounds; `ratio` that of each round, the median."""

    what: str
    before: float
    after: float
    ratio: float


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.training_update", description=__doc__)
    p.add_argument(
        "--config",
        type=Path,
        default=W48,
        metavar="YAML",
        help="training configuration, whose network it is (default: w48)",
    )
    p.add_argument("--rounds", type=int, default=5, metavar="N", help="turns of each (default: 5)")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    if args.rounds < 1:
        raise ConfigError(f"--rounds {args.rounds}: expected at least 1")
    from benchmarks.machine import describe_machine

    found = measure(args.config, args.rounds)
    record = {
        "config": args.config.stem,
        "machine": describe_machine(),
        "comparisons": [asdict(each) for each in found],
    }
    print(json.dumps(record, indent=2) if args.json else _table(found))


def measure(config_file: Path, rounds: int) -> list[Comparison]:
    import torch

    from train.config_file import load_config
    from train.distributed import World
    from train.learner import Learner
    from train.model import build_network

    config = load_config(config_file, ["optim.ema=0.999", "optim.precision=fp32"])
    learner = Learner(
        build_network(config.model, config.seed), config, World(0, 1, torch.device("cpu"))
    )
    assert learner.average
    for parameter in learner.network.parameters():
        parameter.grad = torch.full_like(parameter, 1e-3)
    plain = torch.optim.Adam(learner.network.parameters(), 1e-3, weight_decay=1e-4)
    for optimizer in (plain, learner.optimizer):  # makes its state
        optimizer.step()
    averaged = learner.average.network
    found = [
        _compared("Adam step", plain.step, learner.optimizer.step, rounds),
        _compared(
            "average", lambda: _plain_average(averaged, learner), learner.average.update, rounds
        ),
    ]
    del plain
    with tempfile.TemporaryDirectory() as folder:
        found.append(_save(learner, Path(folder), rounds))
    return found


def _plain_average(averaged: DualHRNet, learner: Learner) -> None:
    """A tensor at a time."""
    theirs = learner.network.state_dict()
    for name, ours in averaged.state_dict().items():
        if ours.is_floating_point():
            ours.lerp_(theirs[name].to(ours.dtype), 1e-3)
        else:
            ours.copy_(theirs[name])


def _save(learner: Learner, folder: Path, rounds: int) -> Comparison:
    """Everything to go on from: written, and copied to be written by a thread."""
    from train.checkpoint import Checkpoint, save_checkpoint
    from train.writer import snapshot

    def content() -> Checkpoint:
        return Checkpoint(
            learner.network.config,
            learner.deployed.state_dict(),
            optimizer_state=learner.optimizer.state_dict(),
            resume={"learner": learner.state()},
        )

    def copied() -> None:
        snapshot(vars(content()))

    return _compared("save", lambda: save_checkpoint(folder / "last.pt", content()), copied, rounds)


def _compared(
    what: str, before: Callable[[], object], after: Callable[[], object], rounds: int
) -> Comparison:
    pairs = [(_seconds(before), _seconds(after)) for _ in range(rounds)]
    old, new = (statistics.median(each) for each in zip(*pairs, strict=True))
    return Comparison(what, old, new, statistics.median(b / a for a, b in pairs))


def _seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def _table(found: list[Comparison]) -> str:
    lines = [f"{'':<12}{'before, s':>10}{'after, s':>10}{'ratio':>8}"]
    lines += [
        f"{each.what:<12}{each.before:>10.3f}{each.after:>10.3f}{each.ratio:>8.2f}"
        for each in found
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)

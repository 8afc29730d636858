"""Measure the memory and time of a training step.

On the processor, in Linux. Every variant runs in a process of its own, so that a peak is
its own.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.child import MALLOC, own_peak, run_module
from runtime import cli
from runtime.errors import ConfigError
from runtime.manifest import STRIDE

if TYPE_CHECKING:
    import torch

W48 = Path("w48")
GIB = 2**30

STEPS = 2
"""The second finds the optimiser's state in place, as every later one does; it is timed."""


@dataclass(frozen=True)
class Variant:
    recompute: bool
    bf16: bool


VARIANTS = {
    "plain": Variant(recompute=False, bf16=False),
    "recompute": Variant(recompute=True, bf16=False),
    "bf16": Variant(recompute=False, bf16=True),
    "bf16+recompute": Variant(recompute=True, bf16=True),
}


@dataclass(frozen=True)
class Measurement:
    """Of one variant: the whole process at its peak; parameters, gradients and optimiser state."""

    variant: str
    peak_bytes: int
    state_bytes: int
    seconds: float


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.training_memory", description=__doc__)
    p.add_argument(
        "--config",
        type=Path,
        default=W48,
        metavar="YAML",
        help="training configuration (default: w48)",
    )
    p.add_argument(
        "--size", type=int, default=512, metavar="S", help="side of an image, pixels (default: 512)"
    )
    p.add_argument("--batch", type=int, default=1, metavar="N", help="pairs a step (default: 1)")
    p.add_argument(
        "--variant", choices=VARIANTS, help="only this one, in this very process (default: all)"
    )
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from benchmarks.machine import describe_machine

    if args.size < STRIDE or args.size % STRIDE or args.batch < 1:
        expected = f"a positive multiple of {STRIDE}, and 1 or more"
        raise ConfigError(f"--size {args.size} --batch {args.batch}: expected {expected}")
    if args.variant:
        found = [measure(args.variant, args.config, args.size, args.batch)]
    else:
        with tqdm(VARIANTS, unit="variant") as names:
            found = [_in_a_process(name, args) for name in names]
    what = {"config": args.config.stem, "size": args.size, "batch": args.batch}
    figures = [{**asdict(each), "ratio": each.peak_bytes / found[0].peak_bytes} for each in found]
    record = {**what, "machine": describe_machine(), "variants": figures}
    print(json.dumps(record, indent=2) if args.json else _table(found))


def measure(name: str, config_file: Path, size: int, batch: int) -> Measurement:
    """Run the steps in this process, whose peak includes all it did before.

    Raises:
        ConfigError: a config that does not load, or a system that is not Linux.
    """
    import torch

    from train.config_file import load_config
    from train.model import build_network

    config, variant = load_config(config_file), VARIANTS[name]
    layout = torch.channels_last if config.optim.channels_last else torch.contiguous_format
    network = build_network(config.model, config.seed).to(memory_format=layout).train()
    network.recompute = variant.recompute
    optimizer = torch.optim.Adam(network.parameters())
    images = torch.randn(2, batch, 3, size, size)
    for _ in range(STEPS):
        start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=variant.bf16):
            building, damage = network(*images)
        (building.float().square().mean() + damage.float().square().mean()).backward()
        optimizer.step()
        seconds = time.perf_counter() - start
    return Measurement(name, own_peak(), _state(optimizer), seconds)


def _state(optimizer: torch.optim.Optimizer) -> int:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    moments = [value for state in optimizer.state.values() for value in state.values()]
    tensors = [*parameters, *[p.grad for p in parameters], *moments]
    return sum(tensor.nbytes for tensor in tensors)


def _in_a_process(name: str, args: argparse.Namespace) -> Measurement:
    arguments = ["--json", "--variant", name, "--config", args.config]
    arguments += ["--size", args.size, "--batch", args.batch]
    said = run_module(name, "benchmarks.training_memory", arguments, MALLOC)
    (figures,) = json.loads(said)["variants"]
    return Measurement(**{field.name: figures[field.name] for field in fields(Measurement)})


def _table(found: Sequence[Measurement]) -> str:
    lines = [f"{'variant':<16}{'peak GiB':>9}{'ratio':>8}{'seconds a step':>16}"]
    for each in found:
        ratio = each.peak_bytes / found[0].peak_bytes
        lines.append(
            f"{each.variant:<16}{each.peak_bytes / GIB:>9.2f}{ratio:>8.2f}{each.seconds:>16.2f}"
        )
    lines.append(
        f"parameters, gradients and optimiser state: {found[0].state_bytes / GIB:.2f} GiB of each"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)

"""Time training pairs as they are loaded, beside what decoding their images takes."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli

if TYPE_CHECKING:
    from train.config import TrainConfig
    from train.sampling import Draw
    from train.xbd import Tile

CONFIG = Path("w48")

DECODING, CACHED, UNCACHED = "decoding alone", "with the mask cache", "without it"
STORED = "with windows on disk"


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.loading",
        description="Pairs a second from one loader process, augmented at the full level: the "
        "PNG decoding alone, the crops with the mask cache, without it, and with both that and "
        "decoded windows on disk, in turn over the same draws. Seconds on the clock, and of the "
        "processor's time, which other programs do not lengthen.",
    )
    p.add_argument("--data", required=True, type=Path, metavar="DIR", help="xBD data set")
    p.add_argument(
        "--split", metavar="NAME", default="train", help="labelled split of it (default: train)"
    )
    p.add_argument(
        "--config",
        type=Path,
        default=CONFIG,
        metavar="YAML",
        help="training configuration (default: w48)",
    )
    p.add_argument("--pairs", type=int, default=16, metavar="N", help="draws a round (default: 16)")
    p.add_argument("--rounds", type=int, default=7, metavar="N", help="rounds (default: 7)")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    from runtime.errors import ConfigError
    from train.config_file import load_config
    from train.dataset import worker_init
    from train.xbd import find_tiles

    for name in ("pairs", "rounds"):
        if getattr(args, name) < 1:
            raise ConfigError(f"--{name} {getattr(args, name)}: expected 1 or more")
    config = _at_full_level(load_config(args.config))
    tiles = find_tiles(args.data, args.split)
    tiles = tiles[:: max(1, len(tiles) // args.pairs)][: args.pairs]
    worker_init(0)
    with tempfile.TemporaryDirectory() as folder:
        jobs = _jobs(tiles, config, Path(folder), args.pairs)
        took = interleave(jobs, args.rounds)
    record = _record(args, tiles, took)
    print(json.dumps(record, indent=2) if args.json else _table(record))


def _at_full_level(config: TrainConfig) -> TrainConfig:
    """Every epoch at the full level, every tile decoded at every draw."""
    from train.config import Phase

    data = config.data.model_copy(update={"cache": "none"})
    phase = Phase(epochs=1, rate=1.0, augment="full")
    return config.model_copy(update={"data": data, "schedule": (phase,)})


def _jobs(
    tiles: Sequence[Tile], config: TrainConfig, folder: Path, pairs: int
) -> dict[str, Callable[[], object]]:
    """What is timed, each over the same draws."""
    from torch.utils.data import DataLoader

    from runtime.errors import DataError
    from train.check import check_tiles
    from train.dataset import CropDataset, Reporting, collate
    from train.masks import MaskCache
    from train.tile_images import StoredTiles
    from train.window_cache import WindowCache

    draws: list[Draw] = [(0, position, position % len(tiles)) for position in range(pairs)]

    def load(masks: MaskCache | None, stored: StoredTiles | None = None) -> None:
        loader = DataLoader(
            Reporting(CropDataset(tiles, config, masks, stored)),
            batch_size=config.optim.batch_size,
            sampler=draws,
            collate_fn=collate,
        )
        for batch in loader:
            if isinstance(batch, Exception):
                raise batch

    cache, windows = MaskCache(folder / "masks"), WindowCache(folder / "windows")
    checked = check_tiles(tiles, cache, 1, windows)
    if checked.bad:
        raise DataError(checked.bad[0])
    contents = {fact.tile.name: fact.content for fact in checked.good}
    stored = StoredTiles(windows, [contents[tile.name] for tile in tiles])
    return {
        DECODING: lambda: [_decode(tiles[tile]) for _, _, tile in draws],
        CACHED: lambda: load(cache),
        UNCACHED: lambda: load(None),
        STORED: lambda: load(cache, stored),
    }


def _decode(tile: Tile) -> None:
    """The least that a training pair costs: both files read and decoded, nothing checked."""
    import cv2
    import numpy as np

    for path in (tile.pre, tile.post):
        cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)


@dataclass(frozen=True)
class Took:
    """Seconds on the clock, and of this process's own time."""

    seconds: float
    cpu: float


def interleave(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[Took]]:
    """What each job took in each round, after one that warms up.

    Each round runs every job and starts with another one, so that a busy spell of the
    machine does not fall on one job alone.
    """
    names = list(jobs)
    took: dict[str, list[Took]] = {name: [] for name in names}
    for name in names:
        jobs[name]()
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            start, cpu = time.perf_counter(), time.process_time()
            jobs[name]()
            took[name].append(Took(time.perf_counter() - start, time.process_time() - cpu))
    return took


def _record(
    args: argparse.Namespace, tiles: Sequence[Tile], took: dict[str, list[Took]]
) -> dict[str, Any]:
    from benchmarks.dataset import describe_data
    from benchmarks.machine import describe_machine

    medians = {
        name: statistics.median(each.seconds for each in rounds) for name, rounds in took.items()
    }
    cpu = {name: statistics.median(each.cpu for each in rounds) for name, rounds in took.items()}
    return {
        "kind": "loading",
        "config": args.config.stem,
        "data": describe_data(args.data, args.split, tiles),
        "machine": describe_machine(),
        "pairs": args.pairs,
        "rounds": args.rounds,
        "figures": {
            name: {
                "pairs_per_second": args.pairs / median,
                "milliseconds": 1000 * median / args.pairs,
                "beyond_decoding": median / medians[DECODING] - 1,
                "pairs_per_cpu_second": args.pairs / cpu[name],
            }
            for name, median in medians.items()
        },
    }


def _table(record: dict[str, Any]) -> str:
    lines = [
        f"{record['config']}, {record['pairs']} pairs of {record['data']['tiles']} tiles of "
        f"{record['data']['name']}/{record['data']['split']}, median of {record['rounds']} rounds"
    ]
    lines += [
        f"  {name:<20} {figure['pairs_per_second']:6.1f} pairs/s  {figure['milliseconds']:6.1f} ms"
        f"  {figure['beyond_decoding']:+6.1%} of decoding"
        f"  {figure['pairs_per_cpu_second']:6.1f} pairs a CPU second"
        for name, figure in record["figures"].items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)

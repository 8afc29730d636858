"""Building, scoring and timing the engines of a sweep; what is there already is kept."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.child import NO_STATUS, run_module
from benchmarks.engines import FLOORLESS
from benchmarks.peers.turns import take_turns
from runtime import cli
from runtime.errors import ConfigError
from runtime.files import sha256, write_json
from runtime.manifest import FILE_NAME

if TYPE_CHECKING:
    from train.xbd import Tile


@dataclass(frozen=True)
class Cell:
    """One engine of the sweep; `side` in pixels. `trained`: its score says something."""

    checkpoint: Path
    digest: str
    architecture: str
    width: int
    trained: bool
    side: int
    precision: str
    target: str

    @property
    def network(self) -> str:
        return f"{self.architecture}-w{self.width}-{self.digest[:8]}"

    @property
    def name(self) -> str:
        return f"{self.network}-{self.side}x{self.side}-{self.precision}-{self.target}"


@dataclass(frozen=True)
class Layout:
    """Where things lie in the sweep's folder."""

    out: Path

    @property
    def record(self) -> Path:
        return self.out / "pareto.json"

    def engine(self, cell: Cell) -> Path:
        return self.out / "engines" / cell.name

    def calibration(self, cell: Cell) -> Path:
        return self.out / "calibration" / f"{cell.network}.json"

    def accuracy(self, cell: Cell) -> Path:
        return self.out / "accuracy" / f"{cell.name}.json"

    def cost(self, cell: Cell) -> Path:
        return self.out / "cost" / f"{cell.name}.json"


def build(cell: Cell, layout: Layout, data: Path | None, split: str, tiles: int) -> None:
    """The engine folder by `export.build_engine`, INT8 with ranges by `calibration`.

    Without a gate and a floor: the chart is to show what INT8 loses, not to refuse it.
    """
    out = layout.engine(cell)
    if (out / FILE_NAME).is_file():
        return
    arguments = ["--checkpoint", cell.checkpoint, "--size", cell.side, cell.side]
    arguments += [f"--{cell.precision}", "--target", cell.target, "--out", out]
    if cell.precision == "int8":
        ranges = layout.calibration(cell)
        if not ranges.is_file():
            source = "train" if data and (data / "train" / "images").is_dir() else split
            command("calibration", "--checkpoint", cell.checkpoint, "--data", data, "--split",
                    source, "--tiles", tiles, "--out", ranges)  # fmt: skip
        arguments += ["--calibration", ranges]
    command("export.build_engine", *arguments, *FLOORLESS)


def score(
    cell: Cell, layout: Layout, data: Path, split: str, described: dict[str, Any]
) -> dict[str, Any]:
    """The engine's record by `benchmarks.accuracy`; `described` is the data's description."""
    path = layout.accuracy(cell)
    engine = sha256(layout.engine(cell) / FILE_NAME)
    if path.is_file():
        found = json.loads(path.read_text())
        if found["engine"]["manifest_sha256"] == engine and found["data"] == described:
            return found
    command("benchmarks.accuracy", "--engine", layout.engine(cell), "--data", data, "--split",
            split, "--out", path)  # fmt: skip
    return json.loads(path.read_text())


def divides(side: int, tiles: Sequence[Tile]) -> bool:
    """Whether tiles can be cut into windows of that side; by the first, which stands for all."""
    height, width = tiles[0].images()[0].shape[:2]
    return height % side == 0 and width % side == 0


def costs(
    cells: Sequence[Cell], layout: Layout, rounds: int, threads: int, failed: list[dict[str, str]]
) -> dict[str, dict[str, Any]]:
    """Seconds a pair and peak memory of each engine, by name.

    Engines take turns; each is loaded for its turn alone, so that any number fits. What an
    earlier run of the sweep measured of the same engine on the same machine is kept. An engine
    that cannot run here goes to `failed`.
    """
    from benchmarks.latency.process import peak_bytes
    from benchmarks.machine import describe_machine

    conditions = {"rounds": rounds, "threads": threads, "cpu": describe_machine()["cpu"]}
    of = {
        cell.name: {**conditions, "manifest_sha256": sha256(layout.engine(cell) / FILE_NAME)}
        for cell in cells
    }
    kept = {
        cell.name: found for cell in cells if (found := _kept(layout.cost(cell), of[cell.name]))
    }
    missing = {cell.name: layout.engine(cell) for cell in cells if cell.name not in kept}
    seconds = turns(missing, rounds, threads, failed)
    for cell in cells:
        if cell.name in seconds:
            peak = peak_bytes(layout.engine(cell), threads)
            if peak is None:
                raise ConfigError(NO_STATUS)
            found = {**of[cell.name], "samples_s": seconds[cell.name], "peak_bytes": peak}
            write_json(layout.cost(cell), found)
            kept[cell.name] = found
    return kept


def turns(
    folders: Mapping[str, Path], rounds: int, threads: int, failed: list[dict[str, str]]
) -> dict[str, list[float]]:
    """Seconds of one pair, by name, a sample a round; those that cannot run go to `failed`."""
    import numpy as np
    from tqdm import trange

    from benchmarks.engines import open_or_reason

    seconds: dict[str, list[float]] = {name: [] for name in folders}
    for _ in trange(rounds if folders else 0, desc="latency", unit="round"):
        for name in list(seconds):
            engine = open_or_reason(folders[name], threads)
            if isinstance(engine, str):
                failed.append({"name": name, "reason": engine})
                del seconds[name]
                continue
            with engine:
                shape = (2, engine.height, engine.width, 3)
                # What a picture shows does not change the time, its size does.
                pair = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
                call = functools.partial(engine.predict, *pair)
                seconds[name] += take_turns({name: call}, 1)[name]
    return seconds


def _kept(path: Path, conditions: dict[str, Any]) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    found = json.loads(path.read_text())
    return found if all(found.get(key) == value for key, value in conditions.items()) else None


def command(module: str, *arguments: object) -> None:
    """A public command of the toolkit.

    Raises: ToolkitError with the command's own line of error.
    """
    cli.note(f"{module} {' '.join(map(str, arguments))}")
    run_module(module, module, arguments)

"""Run the whole job, from data to report, by the public commands."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.demo.layout import ENGINES, FULL_ENGINES, EnginePlan, Layout
from benchmarks.demo.steps import Demo, Step, synthesise
from runtime import cli
from runtime.errors import ConfigError, ToolkitError

if TYPE_CHECKING:
    from train.xbd import Tile

REPORTED_SPLITS = ("test", "hold", "tier3")
"""The first of these that the data has is scored; what chooses is another, where there is one."""
SHOWN = "joplin-tornado_00000001"
"""The pair to map where the data has it; else the tile with most damage classes."""
LOG_INTERVAL = "5"
"""Seconds between two updates of a child's progress bar where nobody watches a terminal."""

SHOWN_COMMAND = 400
"""Characters of a command on the screen: the report's names every command before it."""


class StepError(ToolkitError):
    """A step of the demo failed; its own message stands above this one."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=__doc__)
    p.add_argument(
        "--out",
        type=Path,
        default=Path("runs/demo"),
        metavar="DIR",
        help="output folder (default: runs/demo)",
    )
    p.add_argument(
        "--data", type=Path, metavar="DIR", help="labelled xBD data (default: synthesise some)"
    )
    p.add_argument(
        "--full",
        action="store_true",
        help="learn and time for longer; also build FP32 for OpenVINO, and measure the score on "
        "worse images, other libraries, and smaller windows",
    )
    p.add_argument("--quick", action="store_true", help="pass through the steps, learn nothing")
    return p


def main(args: argparse.Namespace) -> None:
    layout = Layout(args.out)
    _check_out(layout, args.data)
    # Given data are looked at before an earlier demo's results go.
    given = None if args.data is None else _open(layout, args)
    _clear(layout)
    runner = Runner()
    if given is None:
        runner.run(synthesise(layout, args.quick))
    demo, tiles = given or _open(layout, args)
    for step in (demo.train(), demo.calibrate()):
        runner.run(step)
    built = _build(demo, runner)
    ran = [plan for plan in built if _ran(layout.engine(plan))]
    for plan in ran:
        runner.run(demo.score(plan))
    if len(ran) > 1:
        runner.run(demo.compare_labels(ran))
    runner.run(demo.time(built))
    for step in demo.more(ran) if demo.full else ():
        runner.run(step)
    shown = _shown(tiles)
    runner.run(demo.map_pair(shown))
    runner.run(demo.report(built, runner.commands))
    _conclude(demo, runner, built, shown)


class Runner:
    """Runs steps one after another, and keeps what ran and how long it took."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.done: list[dict[str, Any]] = []
        self._environment = dict(os.environ)
        if not sys.stderr.isatty():
            self._environment.setdefault("TQDM_MININTERVAL", LOG_INTERVAL)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    @property
    def commands(self) -> list[str]:
        return [each["command"] for each in self.done]

    def run(self, step: Step) -> None:
        """StepError names the step and its command."""
        number = len(self.done) + 1
        shown = textwrap.shorten(step.text, SHOWN_COMMAND, placeholder=" ...")
        cli.note(f"\n[{number}] {step.title}  ({clock(self.elapsed)} elapsed)\n    {shown}")
        start = time.monotonic()
        code = subprocess.run(step.argv, env=self._environment, check=False).returncode
        if code != 0:
            raise StepError(f"step {number}, {step.title}, failed (exit code {code}): {step.text}")
        seconds = round(time.monotonic() - start, 2)
        self.done.append({"title": step.title, "command": step.text, "seconds": seconds})


def clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"


def _check_out(layout: Layout, data: Path | None) -> None:
    """A folder that no demo made is refused."""
    out = layout.out
    if data is not None and data.resolve().is_relative_to(out.resolve()):
        raise ConfigError(
            f"--data {data}: lies in --out {out}, which is replaced; move one of them"
        )
    if out.exists():
        own = out.is_dir() and (layout.marker.is_file() or not any(out.iterdir()))
        if not own:
            raise ConfigError(f"--out {out}: exists and is no demo's; choose another, or remove it")


def _clear(layout: Layout) -> None:
    """An empty folder of the demo's own."""
    if layout.out.exists():
        shutil.rmtree(layout.out)
    layout.out.mkdir(parents=True)
    layout.marker.touch()


def _open(layout: Layout, args: argparse.Namespace) -> tuple[Demo, list[Tile]]:
    """What the data decides: the splits to choose and to score on, and the tiles' size."""
    from runtime.manifest import STRIDE
    from train.splits import choosing_split
    from train.xbd import find_tiles, splits

    data = layout.data if args.data is None else args.data
    labelled = splits(data)
    split = next((each for each in REPORTED_SPLITS if each in labelled), None)
    if split is None:
        raise ConfigError(
            f"--data {data}: no split to score on; expected labels in "
            f"{', '.join(REPORTED_SPLITS[:-1])} or {REPORTED_SPLITS[-1]}, found "
            f"{', '.join(labelled) or 'none'}"
        )
    choosing, note = choosing_split(data, "add one")
    if note:
        cli.note(note)
    tiles = find_tiles(data, split)
    height, width = tiles[0].images()[0].shape[:2]
    if height % STRIDE or width % STRIDE:
        raise ConfigError(
            f"--data {data}: {tiles[0].name} is {height}x{width} (height x width); the network "
            f"takes multiples of {STRIDE}: cut the tiles to that"
        )
    demo = Demo(
        layout,
        data,
        choosing,
        split,
        (height, width),
        len(find_tiles(data, choosing)),
        synthetic=args.data is None,
        quick=args.quick,
        full=args.full,
    )
    return demo, tiles


def _build(demo: Demo, runner: Runner) -> list[EnginePlan]:
    built = []
    for plan in FULL_ENGINES if demo.full and not demo.quick else ENGINES:
        if plan.installed:
            runner.run(demo.build(plan))
            built.append(plan)
        else:
            cli.note(f"\n    {plan.name} is left out: the module {plan.module} is not installed")
    return built


def _ran(folder: Path) -> bool:
    from runtime.manifest import RAN, Manifest

    return Manifest.read(folder).verification.get("status") == RAN


def _shown(tiles: list[Tile]) -> Tile:
    from benchmarks.dataset import richest

    return next((tile for tile in tiles if tile.name == SHOWN), None) or richest(tiles, 1)[0]


def _conclude(demo: Demo, runner: Runner, built: list[EnginePlan], shown: Tile) -> None:
    """summary.json, then the table: the last thing on the screen."""
    from benchmarks.demo.summary import describe_engine, ending, table
    from benchmarks.machine import describe_machine
    from benchmarks.report.collect import collect
    from runtime.files import write_json

    layout = demo.layout
    folders = [layout.engine(plan) for plan in built]
    engines = collect(folders, demo.figures(built)).engines
    described = [describe_engine(each) for each in engines]
    summary = {
        "data": next((each.accuracy.data for each in engines if each.accuracy), None),
        "machine": describe_machine(),
        "engines": described,
        "mapped": shown.name,
        "steps": runner.done,
        "seconds": round(runner.elapsed, 2),
    }
    write_json(layout.summary, summary)
    print(f"\n{table(described)}\n")
    print(ending(demo, built, shown.name))
    print(f"\ntotal    {clock(runner.elapsed)}", flush=True)


if __name__ == "__main__":
    cli.run(parser(), main)

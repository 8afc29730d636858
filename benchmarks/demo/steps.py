"""The demo's commands in their order, and what each of them leaves behind."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.demo.layout import INT8, REFERENCE, EnginePlan, Layout
from benchmarks.engines import FLOORLESS
from runtime.manifest import STRIDE
from runtime.options import raster_installed

if TYPE_CHECKING:
    from train.xbd import Tile

TILES, SIZE = 300, 256
"""Of the synthetic data set; SIZE in pixels."""
SHARE = 0.1667
"""Of its tiles, that choose the epoch and gate the engines; as many others are scored."""
BRIEF_SECONDS = 1
"""For each latency, where not everything is to be measured."""
CALIBRATION_TILES = 16
PARITY_PAIRS = 4
GATE_TILES = 64
"""At most; fewer where the split to choose on has fewer."""
ROBUSTNESS_TILES = 25
WINDOW = 2
"""The sweep's smaller engine has a side of 1 / WINDOW of the tiles'."""

QUICK_TILES, QUICK_SIZE, QUICK_EPOCHS, QUICK_ROUNDS = 30, 128, 2, 3
"""Enough to pass through every kind of step, not to learn anything."""

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Step:
    """A public command: `python -m` and these arguments."""

    title: str
    arguments: tuple[str, ...]

    @property
    def argv(self) -> list[str]:
        return [sys.executable, "-m", *self.arguments]

    @property
    def text(self) -> str:
        """As a person types it."""
        return shlex.join(["python", "-m", *self.arguments])


@dataclass(frozen=True)
class Demo:
    """One run of it.

    choosing: the split that the epoch and the gates see, and `tiles` how many it has.
    split: the one that is scored, whose tiles are of `size` (height, width).
    """

    layout: Layout
    data: Path
    choosing: str
    split: str
    size: tuple[int, int]
    tiles: int
    synthetic: bool
    quick: bool
    full: bool

    def train(self) -> Step:
        config = "demo.yaml" if self.synthetic else "sample.yaml"
        overrides = [f"data.val_split={self.choosing}"]
        if self.quick:
            crop = min(QUICK_SIZE, *self.size)
            phases = f"[{{epochs: {QUICK_EPOCHS}, rate: 0.003}}]"
            overrides += [f"schedule={phases}", f"data.crop={crop}", "data.synthetic=null"]
        return _step(
            "train",
            "train",
            *("--config", _short(REPOSITORY / "train" / "configs" / config)),
            *("--data", self.data, "--out", self.layout.checkpoint.parent, *overrides),
        )

    def export(self) -> Step:
        return _step(
            "export to ONNX",
            *("export.to_onnx", "--checkpoint", self.layout.checkpoint),
            *("--size", *self.size, *(FLOORLESS if self.quick else ())),
            *("--out", self.layout.out / "model.onnx"),
        )

    def calibrate(self) -> Step:
        tiles = 4 if self.quick else CALIBRATION_TILES
        return _step(
            "calibrate for INT8",
            *("calibration", "--checkpoint", self.layout.checkpoint, "--data", self.data),
            *("--tiles", tiles, "--out", self.layout.calibration),
        )

    def build(self, plan: EnginePlan) -> Step:
        extra: list[object] = ["--gate-tiles", min(self.tiles, GATE_TILES)]
        if self.quick:
            extra = ["--gate-tiles", 0, *FLOORLESS]
        if plan.precision == "int8":
            extra += ["--calibration", self.layout.calibration]
        if plan.capability is not None:
            extra += ["--compute-capability", plan.capability]
        return _step(
            f"build {plan.name}",
            *("export.build_engine", "--checkpoint", self.layout.checkpoint),
            *(f"--{plan.precision}", "--target", plan.target, "--size", *self.size, *extra),
            *("--data", self.data, "--split", self.choosing, "--parity-pairs", PARITY_PAIRS),
            *("--out", self.layout.engine(plan)),
        )

    def score(self, plan: EnginePlan) -> Step:
        return _step(
            f"score {plan.name}",
            *("benchmarks.accuracy", "--engine", self.layout.engine(plan), "--data", self.data),
            *("--split", self.split, "--out", self.layout.accuracy(plan)),
        )

    def compare_labels(self, plans: list[EnginePlan]) -> Step:
        return _step(
            "compare the engines' labels",
            *("benchmarks.agreement", *self._engines(plans), "--data", self.data),
            *("--split", self.split, "--out", self.layout.agreement),
        )

    def more(self, plans: list[EnginePlan]) -> list[Step]:
        """What `--full` measures besides, of the engines that ran."""
        worsened = [self.worsen(plan) for plan in plans if plan in (REFERENCE, INT8)]
        return [self.export(), *worsened, self.peers(plans), self.sweep()]

    def worsen(self, plan: EnginePlan) -> Step:
        return _step(
            f"give {plan.name} worse images",
            *("benchmarks.robustness", "--engine", self.layout.engine(plan), "--data", self.data),
            *("--split", self.split, "--tiles", 2 if self.quick else ROBUSTNESS_TILES),
            *("--out", self.layout.robustness(plan)),
        )

    def time(self, plans: list[EnginePlan]) -> Step:
        brief = [] if self.full else ["--seconds", BRIEF_SECONDS]
        return _step(
            "time the engines",
            *("pytest", _short(REPOSITORY / "benchmarks"), "--quiet", *self._engines(plans)),
            *(*(self._rounds() or brief), "--benchmark-json", self.layout.latency),
        )

    def peers(self, plans: list[EnginePlan]) -> Step:
        # Compiling takes longer than everything else together.
        left_out = ["pytorch-compile"]
        if self.quick:
            left_out += ["pytorch-channels-last", "openvino"]
        return _step(
            "time them beside their peers",
            *("benchmarks.peers", "--checkpoint", self.layout.checkpoint, *self._engines(plans)),
            *(each for name in left_out for each in ("--leave-out", name)),
            *(*self._rounds(), "--out", self.layout.peers),
        )

    def sweep(self) -> Step:
        side = min(self.size)
        sides = [side] if self.quick or side // WINDOW % STRIDE else [side // WINDOW, side]
        precisions = ["fp32"] if self.quick else ["fp32", "int8"]
        target = INT8.target if INT8.installed else REFERENCE.target
        return _step(
            "score against latency against memory",
            *("benchmarks.pareto", "--checkpoint", self.layout.checkpoint, "--target", target),
            *("--size", *sides, "--precision", *precisions),
            *("--data", self.data, "--split", self.split, *self._rounds()),
            *("--out", self.layout.pareto),
        )

    def _engines(self, plans: list[EnginePlan]) -> list[object]:
        return [each for plan in plans for each in ("--engine", self.layout.engine(plan))]

    def _rounds(self) -> list[object]:
        return ["--rounds", QUICK_ROUNDS] if self.quick else []

    def map_pair(self, tile: Tile) -> Step:
        # A synthetic label's place is exact; a real one may fix too few corners.
        place = ["--label", tile.post_label] if self.synthetic and raster_installed() else []
        return _step(
            "map one pair",
            *("runtime.predict", "--engine", self.layout.engine(REFERENCE), tile.pre, tile.post),
            *("--out", self.layout.map, *place),
        )

    def report(self, built: list[EnginePlan], commands: list[str]) -> Step:
        named = [each for command in commands for each in ("--command", command)]
        return _step(
            "write the report",
            *("benchmarks.report", "--data", self.data, "--split", self.split),
            *("--engine", *map(self.layout.engine, built), "--figures", *self.figures(built)),
            *("--out", self.layout.report, "--markdown", self.layout.markdown, *named),
        )

    def figures(self, built: list[EnginePlan]) -> list[Path]:
        """The files that the steps left: what was not measured has none."""
        layout = self.layout
        found = [each(plan) for plan in built for each in (layout.accuracy, layout.robustness)]
        found += [layout.latency, layout.agreement, layout.peers, layout.pareto / "pareto.json"]
        return [path for path in found if path.exists()]


def synthesise(layout: Layout, quick: bool) -> Step:
    tiles, size = (QUICK_TILES, QUICK_SIZE) if quick else (TILES, SIZE)
    return _step(
        "synthesise data",
        *("train.synthesize", "--out", layout.data, "--tiles", tiles, "--size", size),
        *("--test-share", SHARE, "--hold-share", SHARE),
    )


def _step(title: str, *arguments: object) -> Step:
    return Step(title, tuple(map(str, arguments)))


def _short(path: Path) -> Path:
    """Relative where the command is given in the repository."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path

"""The steps, each a command in a process of its own: one that fails loses its own figures."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.child import last_line, run_module
from benchmarks.engines import FLOORLESS
from benchmarks.gpu_record.plan import Job
from runtime.errors import ToolkitError

REPOSITORY = Path(__file__).parents[2]

TILES, SIDE, SEED = 60, 256, 11
"""Of the synthetic data set that the engines are compared on."""

_CONFIG = REPOSITORY / "train" / "configs" / "demo.yaml"


@dataclass(frozen=True)
class Layout:
    """Where things lie in the scratch folder."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def trained(self) -> Path:
        return self.root / "run" / "best.pt"

    @property
    def reference(self) -> Path:
        return self.root / "reference"

    def random(self, architecture: str, width: int) -> Path:
        return self.root / f"{architecture}-w{width}.pt"

    def engine(self, kind: str, job: Job) -> Path:
        return self.root / kind / job.name


def attempt(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What it gives with `seconds` that it took, or its `error`."""
    start = time.perf_counter()
    try:
        found = work()
    except (ToolkitError, OSError, ValueError) as error:
        return {"error": str(error)}
    return {**found, "took_seconds": round(time.perf_counter() - start, 1)}


def run_tests(layout: Layout, folder: Path = REPOSITORY / "tests") -> dict[str, Any]:
    """`pytest -m gpu` in `folder`: how many passed, and the names of those that did not."""
    if not folder.is_dir():
        raise ToolkitError(f"{folder}: not there; the tests are in a checkout, not in the wheel")
    report = layout.root / "tests.xml"
    line = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider"]
    line += ["--continue-on-collection-errors", f"--junitxml={report}", str(folder)]
    done = subprocess.run(line, cwd=folder.parent, capture_output=True, text=True)
    if not report.is_file():
        said = done.stderr or done.stdout
        raise ToolkitError(f"pytest -m gpu: {last_line(said, done.returncode)}")
    return count(report)


def count(report: Path) -> dict[str, Any]:
    """Of a JUnit report: passed, and name and reason of what failed and of what was skipped."""
    cases = ElementTree.parse(report).getroot().iter("testcase")
    told: dict[str, dict[str, str]] = {"failed": {}, "skipped": {}}
    passed = 0
    for case in cases:
        name = f"{case.get('classname')}::{case.get('name')}"
        for kind, key in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
            found = case.find(kind)
            if found is not None:
                told[key][name] = (found.get("message") or "").splitlines()[0][:300]
                break
        else:
            passed += 1
    return {"passed": passed, **told}


def train(layout: Layout, overrides: Sequence[str]) -> dict[str, Any]:
    """A small network that has learned enough to be compared, and FP32 of it on the processor."""
    made = ("--out", layout.data, "--tiles", TILES, "--size", SIDE, "--seed", SEED)
    run_module("synthetic tiles", "train.synthesize", made)
    line = ("--config", _CONFIG, "--data", layout.data, "--out", layout.trained.parent)
    run_module("training", "train", (*line, "data.val_split=test", *overrides))
    build = ("--fp32", "--target", "onnxruntime", "--out", layout.reference)
    run_module("the reference engine", "export.build_engine", (*build, *_proof(layout)))
    return {"score": _score(layout, layout.reference)}


def compare(layout: Layout, job: Job) -> dict[str, Any]:
    """Build with parity and gate; then the engine itself, on the GPU, against the reference."""
    folder = layout.engine("compared", job)
    line = (f"--{job.precision}", "--target", job.target, "--out", folder, *_proof(layout))
    manifest = json.loads(run_module(job.name, "export.build_engine", (*line, "--json")))
    pair = ("--engine", layout.reference, "--engine", folder)
    data = ("--data", layout.data, "--split", "test", "--json")
    (found,) = json.loads(run_module(job.name, "benchmarks.agreement", (*pair, *data)))["engines"]
    return {
        "verification": manifest["verification"],
        "agreement": found["agreement"],
        "building_agreement": found["building_agreement"],
        "class_f1": found["class_f1"],
        "score": _score(layout, folder),
    }


def time_engine(layout: Layout, job: Job, architecture: str, seconds: float) -> dict[str, Any]:
    """Of a network with random weights: a time does not depend on what was learned."""
    checkpoint, folder = layout.random(architecture, job.width), layout.engine("timed", job)
    if not checkpoint.exists():
        made = ("--architecture", architecture, "--width", job.width, "--out", checkpoint)
        run_module(f"a random W{job.width}", "benchmarks.plausible", made)
    line = ("--checkpoint", checkpoint, "--size", job.side, job.side, f"--{job.precision}")
    line += ("--target", job.target, "--parity-pairs", 1, "--out", folder, *FLOORLESS)
    run_module(job.name, "export.build_engine", line)
    arguments = ("--engine", folder, "--seconds", seconds)
    found = json.loads(run_module(job.name, "benchmarks.gpu_record.timing", arguments))
    return {"architecture": architecture, **found}


def _proof(layout: Layout) -> tuple[object, ...]:
    """So short a training may leave a class that is never predicted."""
    size = ("--checkpoint", layout.trained, "--size", SIDE, SIDE)
    return (*size, "--data", layout.data, "--split", "test", "--floor-pixels", 0)


def _score(layout: Layout, folder: Path) -> dict[str, Any]:
    line = ("--engine", folder, "--data", layout.data, "--split", "test", "--json")
    figures = json.loads(run_module(folder.name, "benchmarks.accuracy", line))["figures"]
    return {key: figures[key] for key in ("score", "localization_f1", "damage_f1")}

"""The precision verdict: build what a target offers, keep the fastest that is accurate enough.

Where an engine runs here it is timed. Where it cannot, the compiler's plans are compared by
their roofline estimates, and the verdict says that nothing was run.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from export.card import write_card
from export.engine import build_engine
from export.plan.record import FILE_NAME as LAYERS
from export.plan.record import Plan
from export.plan.roofline import estimate, gpu_of
from export.request import EngineRequest
from export.verify import Pair, parity_pairs
from runtime import cli
from runtime.engine import load_engine
from runtime.errors import CalibrationError, ConfigError, ExportError
from runtime.files import replacing_folder
from runtime.manifest import RAN, Manifest

WARMUP, SECONDS, FEWEST = 1, 5.0, 5
"""A timing takes at least FEWEST runs, and SECONDS."""


@dataclass(frozen=True)
class Candidate:
    """`request` opens the checkpoint and, for INT8, may calibrate: it is called when needed."""

    name: str
    request: Callable[[], EngineRequest]


@dataclass(frozen=True)
class Built:
    """An engine that holds the gate. `moved` in bytes, where its compiler says."""

    name: str
    folder: Path
    manifest: Manifest
    request: EngineRequest
    seconds: float
    moved: int | None

    @property
    def measured(self) -> bool:
        return self.manifest.verification["status"] == RAN

    def lost_to(self, winner: Built) -> str:
        """Why this one is not kept."""
        times = f"{self.seconds * 1e3:.1f} ms against {winner.seconds * 1e3:.1f} ms of"
        if self.measured:
            return f"{self.name}: {times} {winner.name}, median of runs here"
        ratio = self.moved / winner.moved if self.moved and winner.moved else 1
        bytes_ = f"moves {ratio:.1f}x the bytes of {winner.name} on this target"
        return f"{self.name}: {bytes_}; roofline estimate {times} {winner.name}, not run"


def build_best(
    candidates: Sequence[Candidate], out: Callable[[EngineRequest], Path]
) -> tuple[Manifest, Path]:
    """Build every candidate, keep the fastest as `out(its request)`.

    The manifest's verification has `rejected`: why each of the others lost.

    Raises:
        ExportError: no candidate could be built within its limits.
    """
    rejected: list[str] = []
    with tempfile.TemporaryDirectory(prefix="dual-hrnet-best-") as scratch:
        built = []
        for index, candidate in enumerate(candidates):
            cli.note(f"\ncandidate {candidate.name}")
            try:
                built.append(_build(candidate, Path(scratch) / str(index)))
            except (ExportError, CalibrationError, ConfigError) as error:
                rejected.append(f"{candidate.name}: {error}")
                cli.note(f"rejected: {rejected[-1]}")
        if not built:
            raise ExportError(f"no candidate can be kept: {'; '.join(rejected)}")
        winner = min(built, key=lambda each: each.seconds)
        rejected += [each.lost_to(winner) for each in built if each is not winner]
        how = "median of runs here" if winner.measured else "roofline estimate, not run"
        verification = {
            **winner.manifest.verification,
            "chosen": f"{winner.name}: {winner.seconds * 1e3:.1f} ms ({how})",
            "rejected": rejected,
        }
        folder = out(winner.request)
        with replacing_folder(folder) as temporary:
            shutil.copytree(winner.folder, temporary, dirs_exist_ok=True)
            complete = replace(winner.manifest, verification=verification)
            complete.write(temporary)
            write_card(temporary, complete, winner.request.source.training)
    return complete, folder


def _build(candidate: Candidate, folder: Path) -> Built:
    request = candidate.request()
    manifest = build_engine(request, folder)
    if manifest.verification["status"] == RAN:
        (pair,), _ = parity_pairs(request.options, replace(request.proof, parity_pairs=1))
        return Built(candidate.name, folder, manifest, request, _time(folder, pair), None)
    plan = Plan.read(folder / LAYERS)
    seconds = estimate(plan, gpu_of(plan)).seconds
    return Built(candidate.name, folder, manifest, request, seconds, plan.bytes)


def _time(folder: Path, pair: Pair) -> float:
    """Median seconds of `Engine.predict`."""
    times: list[float] = []
    with load_engine(folder) as engine:
        for _ in range(WARMUP):
            engine.predict(*pair)
        while len(times) < FEWEST or sum(times) < SECONDS:
            start = time.perf_counter()
            engine.predict(*pair)
            times.append(time.perf_counter() - start)
    return statistics.median(times)

"""The precision verdict: build what a target offers, keep the fastest that is accurate enough.

Where an engine runs here it is timed. Where it cannot, the compiler's plans are compared by
their roofline estimates, and the verdict says that nothing was run.
"""

from __future__ import annotations

import contextlib
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from export.card import write_card
from export.engine import build_engine
from export.material import Material, least_bytes, prepare
from export.parity_pairs import ParityPair
from export.plan.record import FILE_NAME as LAYERS
from export.plan.record import Plan
from export.plan.roofline import estimate, gpu_of
from export.request import EngineRequest
from runtime import cli
from runtime.engine import load_engine
from runtime.errors import CalibrationError, ConfigError, ExportError
from runtime.files import check_space, replacing_folder
from runtime.manifest import RAN, Manifest
from runtime.trust import OWN_BUILD

WARMUP, SECONDS, FEWEST = 1, 5.0, 5
"""A timing takes at least FEWEST runs, and SECONDS."""


@dataclass(frozen=True)
class Candidate:
    """`request` opens the checkpoint, and the ranges where they are in a file."""

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
    """Build every candidate, keep the fastest as `out(its request)`. What they need is checked
    before the first is built.

    The manifest's verification has `rejected`: why each of the others lost.

    Raises:
        ExportError: no candidate could be built within its limits.
    """
    rejected: list[str] = []
    requests: dict[str, EngineRequest] = {}
    for candidate in candidates:
        with _rejecting(candidate.name, rejected):
            requests[candidate.name] = candidate.request()
    if not requests:
        raise ExportError(f"no candidate can be kept: {'; '.join(rejected)}")
    scratch_space = sum(map(least_bytes, requests.values()))
    check_space(Path(tempfile.gettempdir()) / "candidates", scratch_space)
    material = prepare(list(requests.values()), [out(each) for each in requests.values()])
    with tempfile.TemporaryDirectory(prefix="dual-hrnet-best-") as scratch:
        built = []
        for index, (name, request) in enumerate(requests.items()):
            cli.note(f"\ncandidate {name}")
            with _rejecting(name, rejected):
                _check_measured(request, material)
                built.append(_build(name, request, material, Path(scratch) / str(index)))
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


@contextlib.contextmanager
def _rejecting(name: str, rejected: list[str]) -> Iterator[None]:
    """An error within concerns this candidate alone; it is added to `rejected`."""
    try:
        yield
    except (ExportError, CalibrationError, ConfigError) as error:
        rejected.append(f"{name}: {error}")
        cli.note(f"rejected: {rejected[-1]}")


def _check_measured(request: EngineRequest, material: Material) -> None:
    """A lower precision is not chosen for being fast alone.

    Raises:
        ExportError: nothing here measures what it loses.
    """
    precision = request.options.precision
    if precision != "fp32" and not material.scenes:
        raise ExportError(
            f"not measured: no labelled tiles show what {precision} loses; pass --data with labels "
            f"and no --gate-tiles 0, or build it by --{precision}"
        )


def _build(name: str, request: EngineRequest, material: Material, folder: Path) -> Built:
    manifest = build_engine(request, material, folder)
    if manifest.verification["status"] == RAN:
        return Built(name, folder, manifest, request, _time(folder, material.pairs[0]), None)
    plan = Plan.read(folder / LAYERS)
    seconds = estimate(plan, gpu_of(plan)).seconds
    return Built(name, folder, manifest, request, seconds, plan.bytes)


def _time(folder: Path, pair: ParityPair) -> float:
    """Median seconds of `Engine.predict`."""
    times: list[float] = []
    with load_engine(folder, trust=OWN_BUILD) as engine:
        for _ in range(WARMUP):
            engine.predict(*pair.images)
        while len(times) < FEWEST or sum(times) < SECONDS:
            start = time.perf_counter()
            engine.predict(*pair.images)
            times.append(time.perf_counter() - start)
    return statistics.median(times)

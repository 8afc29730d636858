"""Many pairs on Ray Data: one engine in each worker process, one pair a task.

Ray runs a task again when its worker died, as often as that happens. That is safe because a
pair whose maps are in the output folder is not mapped again. What is begun is counted in
that folder, too, so that a pair or an engine that kills every worker is given up.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import math
import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runtime import cli
from runtime.backends import Mode
from runtime.errors import BackendError, ConfigError, ToolkitError, reason
from runtime.manifest import Manifest
from runtime.many.outbox import counted, is_done, map_once, os_reason, windows_without_result
from runtime.many.pairs import Pair
from runtime.many.sources import ChangedError, StaleError
from runtime.options import MapOptions

ATTEMPTS = 3
"""How often something is begun that kills its worker, finds no memory, or changes meanwhile."""
STALE_ADVICE = (
    "choose another --out, move that folder away, or map it anew with --redo, which replaces it"
)
_PAUSE = 2.0  # seconds, before what failed for now is tried again
ENGINE = ".engine"  # no pair can have this name
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Job:
    """What every worker needs. `threads`: processor threads of one engine.

    `address`: of a Ray cluster, whose machines see the same folders; None starts Ray here.
    `device`: number of a GPU here; on a cluster, among those that Ray gives to a worker.
    `mode`, `trust`: see `load_engine`. `redo`: see `outbox.map_once`.
    `payload`: sha256 of the files of the engine, in order.
    """

    engine: Path
    payload: tuple[str, ...]
    out: Path
    options: MapOptions
    workers: int
    threads: int
    address: str | None = None
    device: int | None = None
    mode: Mode = "latency"
    redo: bool = False
    trust: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """`reason`: why the pair could not be mapped; None when its maps are there.

    `holes`: parts of a raster that are nodata there, because they could not be computed.
    """

    pair: Pair
    reason: str | None
    holes: int


def payload_sha256(manifest: Manifest) -> tuple[str, ...]:
    return tuple(entry.sha256 for entry in manifest.payload)


class Mapper:
    """The actor: Ray makes one in each worker process and hands it row after row.

    It raises nothing: Ray would start a worker again whose constructor raises.
    """

    def __init__(self, job: Job) -> None:
        cli.prepare_opencv()
        from runtime.engine import load_engine

        self._job = job
        self._refused: str | None = None
        try:
            with counted(job.out, ENGINE) as times:
                if times > ATTEMPTS * job.workers:
                    self._refused = f"{job.engine}: the worker processes died when they loaded it"
                else:
                    engine = load_engine(job.engine, job.threads, job.device, job.mode, job.trust)
                    if payload_sha256(engine.manifest) == job.payload:
                        self._engine = engine
                    else:
                        engine.close()
                        self._refused = (
                            f"{job.engine}: is another engine than when the run began; what was "
                            "mapped is kept; run the command again, with the engine that is meant"
                        )
        except (ToolkitError, OSError) as error:
            self._refused = self._line(error)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        pair = Pair(row["name"], Path(row["pre"]), Path(row["post"]))
        why, fatal, holes = None, self._refused, 0
        if fatal is None:
            try:
                why = self._map(pair)
                holes = 0 if why else windows_without_result(self._job.out, pair.name)
            except (ToolkitError, OSError) as error:
                fatal = self._line(error)
        return {"name": pair.name, "reason": why or "", "fatal": fatal or "", "holes": holes}

    def _map(self, pair: Pair) -> str | None:
        with counted(self._job.out, pair.name) as times:
            given_up = self._job.redo or not is_done(self._job.out, pair.name)
            if times > ATTEMPTS and given_up:
                return f"{pair.name}: the worker process died {ATTEMPTS} times while it mapped it"
            for left in reversed(range(ATTEMPTS)):
                try:
                    return self._map_once(pair)
                except (ChangedError, MemoryError) as error:
                    why = reason(error)
                    if isinstance(error, MemoryError):
                        why = f"{pair.name}: there was not enough memory to map it ({why})"
                    if left:
                        time.sleep(_PAUSE)
            return f"{why}, {ATTEMPTS} times in a row; run the command again to try it again"

    def _map_once(self, pair: Pair) -> str | None:
        job = self._job
        try:
            return map_once(self._engine, pair, job.out, job.options, redo=job.redo)
        except StaleError as error:
            return f"{reason(error)}; {STALE_ADVICE}"

    def _line(self, error: ToolkitError | OSError) -> str:
        if isinstance(error, ToolkitError):
            return reason(error)
        return f"{os_reason(error, self._job.out)}; what was mapped is kept"


def map_all(pairs: Sequence[Pair], job: Job) -> Iterator[Outcome]:
    """Map the pairs; their outcomes as they come.

    Raises ToolkitError when no pair can be mapped any more: an engine that does not load
    or fails, an output folder that cannot be written, a Ray that ends. What was mapped
    until then is complete.
    """
    _import_ray_quietly(job.address is None)
    import ray
    from ray.data.exceptions import SystemException

    known = {pair.name: pair for pair in pairs}
    try:
        gpus = [] if job.address else _gpus_here(job)
        with _silenced(), _only_visible(gpus), _connected(job, len(gpus)):
            # A worker sees those alone that Ray gave it, and counts them from 0.
            for row in _rows(pairs, job if job.address else replace(job, device=None)):
                if row["fatal"]:
                    raise ToolkitError(row["fatal"])
                yield Outcome(known[row["name"]], row["reason"] or None, row["holes"])
    except (ray.exceptions.RayError, SystemException) as error:
        raise BackendError(
            f"Ray {ray.__version__} stopped: {reason(error.__cause__ or error)}; "
            "what was mapped is kept, run the command again to go on"
        ) from error


def _rows(pairs: Sequence[Pair], job: Job) -> Iterator[dict[str, Any]]:
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    items = [{"name": each.name, "pre": str(each.pre), "post": str(each.post)} for each in pairs]
    actor: Any = Mapper  # Ray's types know functions only
    dataset = ray.data.from_items(items, override_num_blocks=len(items)).map(
        actor,
        fn_constructor_args=(job,),
        compute=ray.data.ActorPoolStrategy(
            size=min(job.workers, len(items)), max_tasks_in_flight_per_actor=1
        ),
        num_cpus=job.threads,
        num_gpus=_gpus(job),
    )
    return iter(dataset.iter_rows())


def _gpus_here(job: Job) -> list[int]:
    """Numbers of the GPUs that the engine was built for; none for a processor's engine."""
    manifest = Manifest.read(job.engine)
    if not manifest.target.on_gpu:
        return []
    from runtime.backends.gpus import fitting_gpus

    return fitting_gpus(manifest, job.engine, job.device)


@contextlib.contextmanager
def _only_visible(gpus: Sequence[int]) -> Iterator[None]:
    """Ray gives its workers one GPU or another: it must know only those that fit."""
    before = os.environ.get(VISIBLE)
    if gpus:
        names = before.split(",") if before else [str(each) for each in range(max(gpus) + 1)]
        os.environ[VISIBLE] = ",".join(names[each] for each in gpus)
    try:
        yield
    finally:
        if before is not None:
            os.environ[VISIBLE] = before
        elif gpus:
            del os.environ[VISIBLE]


def _gpus(job: Job) -> float | None:
    """GPUs of one worker: the workers of an engine for GPUs share those there are."""
    import ray

    target = Manifest.read(job.engine).target
    if not target.on_gpu:
        return None
    resources: Any = ray.cluster_resources  # untyped
    there: float = resources().get("GPU", 0)
    if there < 1:
        raise ConfigError(
            f"{job.engine} is a {target.backend} engine and Ray sees no GPU; run it with one, "
            "or build the engine for this processor: python -m export.build_engine --target auto"
        )
    return 1 / math.ceil(job.workers / there)


def check_address(address: str) -> None:
    """Ray itself tries for minutes. Raises ConfigError when nothing answers there."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        if address == "auto":  # Ray knows where
            return
        raise ConfigError(f"--address {address}: expected HOST:PORT of a Ray cluster, or auto")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"--address {address}: nothing answers ({reason(error)}); expected a Ray cluster, "
            "started with: ray start --head"
        ) from error


@contextlib.contextmanager
def _connected(job: Job, gpus: int) -> Iterator[None]:
    import ray

    here: dict[str, Any] = {
        "address": "local",  # its own, whatever else runs here
        "num_cpus": job.workers * job.threads,
        "num_gpus": gpus,  # it knows none of a Jetson's by itself
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
    }
    where = here if job.address is None else {"address": job.address}
    ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def _import_ray_quietly(own: bool) -> None:
    """It sends nothing anywhere and prints nothing. `own`: this process will start it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if own and "RAY_AUTH_TOKEN" not in os.environ:
        # Its processes listen on every network; what does not know this is turned away.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    importlib.import_module("ray.data")  # gives its logger the handler that prints
    logger = logging.getLogger("ray.data")
    for handler in [each for each in logger.handlers if isinstance(each, logging.StreamHandler)]:
        logger.removeHandler(handler)


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Stdout is for results and stderr for us: Ray prints to both, also from native code.

    What it has to say is in its own logs, and what ends the run is raised.
    """
    sys.stderr.flush()
    ours = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        with (
            os.fdopen(ours, "w", buffering=1, closefd=False) as stderr,
            contextlib.redirect_stderr(stderr),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            yield
    finally:
        os.dup2(ours, 2)
        os.close(ours)

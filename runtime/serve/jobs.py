"""The jobs of a server: each a file that is replaced whole at every change of its state."""

from __future__ import annotations

import dataclasses
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runtime import cli, files, records
from runtime.many.progress import now

State = Literal["waiting", "running", "done", "failed", "cancelled", "deleting"]

MOST = 1000
"""Jobs that are kept, at most: the list is in memory."""

_ENDED = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Image:
    """name: as a person called it. upload: the id of one, or None for a file of the inbox."""

    name: str
    path: str
    upload: str | None = None


@dataclass(frozen=True)
class Job:
    """number: in the order of arrival. Times are UTC, ISO 8601."""

    id: str
    number: int
    name: str
    pre: Image
    post: Image
    state: State
    created: str
    started: str | None = None
    ended: str | None = None
    error: str | None = None
    notes: tuple[str, ...] = ()
    windows: int = 0

    @property
    def has_ended(self) -> bool:
        return self.state in _ENDED


class Jobs:
    """Safe for several threads. What was running when the last server ended waits again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._jobs: dict[str, Job] = {}
        for path in sorted(folder.iterdir()):
            if path.name.startswith("."):
                path.unlink()  # what a killed server had not renamed yet
            elif path.suffix == ".json":
                self._read(path)
        for job in self.all():
            if job.state == "running":
                self.change(job.id, state="waiting")

    def all(self) -> list[Job]:
        """Newest first."""
        with self._lock:
            return sorted(self._jobs.values(), key=lambda each: -each.number)

    def get(self, id: str) -> Job | None:
        with self._lock:
            return self._jobs.get(id)

    def next(self) -> list[Job]:
        """Those that wait, the oldest first."""
        return [job for job in reversed(self.all()) if job.state == "waiting"]

    def add(self, name: str, pre: Image, post: Image) -> Job | None:
        """None where there are as many as can be kept."""
        with self._lock:
            if len(self._jobs) >= MOST:
                return None
            number = max((job.number for job in self._jobs.values()), default=0) + 1
            id = f"{number:06d}-{secrets.token_hex(4)}"
            return self._keep(Job(id, number, name, pre, post, "waiting", now()))

    def change(self, id: str, *, only: tuple[State, ...] = (), **fields: object) -> Job | None:
        """The job with new values; None where it is in none of the states of `only`."""
        with self._lock:
            job = self._jobs.get(id)
            if job is None or (only and job.state not in only):
                return None
            return self._keep(dataclasses.replace(job, **fields))  # type: ignore[arg-type]

    def forget(self, id: str) -> None:
        with self._lock:
            self._path(id).unlink(missing_ok=True)
            files.sync(self._folder)
            self._jobs.pop(id, None)

    def uses(self, upload: str) -> list[Job]:
        return [job for job in self.all() if upload in (job.pre.upload, job.post.upload)]

    def _keep(self, job: Job) -> Job:
        files.write_json(self._path(job.id), dataclasses.asdict(job))
        files.sync(self._folder)
        self._jobs[job.id] = job
        return job

    def _read(self, path: Path) -> None:
        try:
            job = records.parse(Job, records.load_json(path))
        except records.RecordError as error:
            cli.note(f"{path}: {error}; left out, expected the job of a server")
            return
        if job.id == path.stem:
            self._jobs[job.id] = job

    def _path(self, id: str) -> Path:
        return self._folder / f"{id}.json"

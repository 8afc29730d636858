"""What the requests ask of a server, apart from HTTP."""

from __future__ import annotations

import shutil
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from runtime import cli, records
from runtime.corrections import CORRECTIONS, Corrections
from runtime.counts import ESTIMATE, SAMPLE, Sample
from runtime.many.pairs import Pair
from runtime.options import SUMMARY
from runtime.serve import listing
from runtime.serve.errors import RefusedError, missing
from runtime.serve.jobs import Image, Job, Jobs
from runtime.serve.listing import Listing
from runtime.serve.pairs import Pairs
from runtime.serve.places import Places
from runtime.serve.uploads import Uploads
from runtime.serve.worker import Worker

MAPS_OPEN = 4
"""Whose corrections are kept open: of a picture its buildings are in memory then."""

MADE_BESIDE = (CORRECTIONS, SAMPLE, ESTIMATE)
"""Files that come to a finished map later."""


@dataclass
class Service:
    """token: is one needed?"""

    places: Places
    jobs: Jobs
    uploads: Uploads
    pairs: Pairs
    worker: Worker
    token: bool
    _open: OrderedDict[str, Corrections] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _counts: dict[str, tuple[str, int]] = field(default_factory=dict)

    def job(self, id: str) -> Job:
        found = self.jobs.get(id)
        if found is None or found.state == "deleting":
            raise missing(f"job {id}")
        return found

    def maps(self, id: str) -> Path:
        """The folder of a job's finished maps."""
        job = self.job(id)
        if job.state != "done":
            raise RefusedError(409, f"job {id}: is {job.state}; its map is there when it is done")
        return self.places.maps / id

    def told(self, job: Job, waiting: list[str] | None = None) -> dict[str, Any]:
        """As the API gives it. waiting: ids in the order of the queue."""
        if waiting is None:
            waiting = [each.id for each in self.jobs.next()]
        worker = self.worker
        done, of = 0, job.windows
        if job.state == "running" and worker.running == job.id:
            done, of = worker.progress
        elif job.state == "done":
            done = of
        return {
            "id": job.id,
            "name": job.name,
            "state": job.state,
            "progress": {"done": done, "of": of},
            "created": job.created,
            "started": job.started,
            "ended": job.ended,
            "error": job.error,
            "notes": list(job.notes),
            "corrected": self.corrected(job),
            "position": waiting.index(job.id) + 1 if job.id in waiting else None,
        }

    def all_told(self) -> list[dict[str, Any]]:
        jobs = [job for job in self.jobs.all() if job.state != "deleting"]
        waiting = [job.id for job in reversed(jobs) if job.state == "waiting"]
        return [self.told(job, waiting) for job in jobs]

    def corrected(self, job: Job) -> int:
        """Corrections that change anything, see `Corrections.count`; read again when their file has
        changed."""
        if job.state != "done":
            return 0
        changed = listing.changed(self.places.maps / job.id / CORRECTIONS)
        if not changed:
            return 0
        known = self._counts.get(job.id)
        if known is None or known[0] != changed:
            known = changed, self.corrections(job.id).count()
            self._counts[job.id] = known
        return known[1]

    def corrections(self, id: str) -> Corrections:
        """Those of a job; a few are kept open, for opening one counts its buildings."""
        folder = self.maps(id)
        with self._lock:
            if id in self._open:
                self._open.move_to_end(id)
                return self._open[id]
        opened = Corrections(folder)
        with self._lock:
            self._open[id] = opened
            while len(self._open) > MAPS_OPEN:
                self._open.popitem(last=False)
        return opened

    def has_sample(self, id: str) -> bool:
        path = self.maps(id) / SAMPLE
        return path.is_file() and path.stat().st_size > 0

    def sample(self, id: str) -> Sample:
        if not self.has_sample(id):
            raise missing(f"sample of job {id}")
        return Sample(self.corrections(id))

    def forget(self, id: str) -> None:
        with self._lock:
            self._open.pop(id, None)
            self._counts.pop(id, None)

    def listing(self, id: str) -> Listing:
        path = self.places.views / f"{id}{listing.ENDING}"
        corrections = self.corrections(id)
        if not path.exists():
            raise RefusedError(404, f"job {id}: its buildings cannot be shown; see its notes")
        return Listing(corrections, path)

    def summary(self, id: str) -> dict[str, Any]:
        return dict(records.load_json(self.maps(id) / SUMMARY))

    def files(self, id: str) -> dict[str, Path]:
        """Of a finished map: those that it lists, and what was made beside them."""
        folder = self.maps(id)
        listed = (*self.summary(id).get("files", {}), SUMMARY, *MADE_BESIDE)
        found = {name: folder / name for name in listed if Path(name).name == name}
        return {
            name: path for name, path in found.items() if path.is_file() and not path.is_symlink()
        }

    def image(self, role: str, upload: str | None, pair: str | None) -> Image:
        if (upload is None) == (pair is None):
            raise RefusedError(400, f"{role}: expected an upload or a pair, one of both")
        if upload is not None:
            found = self.uploads.get(upload)
            return Image(found.name, str(self.uploads.path(found)), upload)
        path: Path = getattr(self.pair(pair or ""), role)
        return Image(path.name, str(path))

    def pair(self, name: str) -> Pair:
        found = self.pairs.get(name)
        if found is None:
            raise missing(f"pair {name!r} in the inbox")
        return found

    def check_unused(self, upload: str) -> None:
        """RefusedError where a job uses it."""
        if users := self.jobs.uses(upload):
            raise RefusedError(409, f"upload {upload}: job {users[0].id} uses it; delete that")

    def in_use(self) -> set[str]:
        """Ids of uploads."""
        images = [image for job in self.jobs.all() for image in (job.pre, job.post)]
        return {image.upload for image in images if image.upload}

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.places.data).free


def version() -> str:
    try:
        return metadata.version(cli.PROJECT)
    except metadata.PackageNotFoundError:
        return "unknown"

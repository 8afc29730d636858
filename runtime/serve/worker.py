"""The queue: job after job through the one engine, by what the watch maps pairs with.

It is the process's main thread, so that a GPU's context and the signals are its own; requests are
answered by others meanwhile.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from runtime import cli, records
from runtime.errors import BackendError, EngineError, StoppedError, reason
from runtime.manifest import Manifest
from runtime.many.disks import Disks
from runtime.many.lasting import Reopened, Stop
from runtime.many.listing import shown
from runtime.many.outbox import WORKING, clear, is_done, os_reason, windows_without_result
from runtime.many.pairs import Pair
from runtime.many.progress import now
from runtime.many.sources import ChangedError, StaleError
from runtime.many.trying import PATIENCE, Troubles, map_counted
from runtime.options import SUMMARY, MapOptions
from runtime.serve import listing, views
from runtime.serve.errors import RefusedError
from runtime.serve.jobs import Job, Jobs
from runtime.serve.pairs import Pairs
from runtime.serve.places import Places
from runtime.serve.uploads import Uploads

POLL = 0.2
"""Seconds between two looks for a job that waits."""


class Worker:
    """What others may ask of it at any time: `running`, `progress`, and the sums since the start.

    trouble: why no job can be mapped now, if so. disks: as they were before the engine was loaded;
    None: as they are now.
    """

    def __init__(
        self,
        engine: Reopened,
        places: Places,
        jobs: Jobs,
        uploads: Uploads,
        pairs: Pairs,
        options: MapOptions,
        stop: Stop,
        disks: Disks | None = None,
    ) -> None:
        self._engine, self._places, self._jobs, self._stop = engine, places, jobs, stop
        self._uploads, self._pairs, self._options = uploads, pairs, options
        self._troubles = Troubles()
        self._disks = disks or Disks((places.maps,))
        self._lock = threading.Lock()
        self._unwanted: set[str] = set()
        self.running: str | None = None
        self.progress = (0, 0)
        self.trouble: str | None = None
        self._counted: int | None = None
        self.windows = 0
        self.seconds = 0.0
        self.mapped = 0
        self.failed = 0

    @property
    def manifest(self) -> Manifest:
        """Of the engine that maps now; another one may have taken over since the start."""
        return self._engine.manifest

    def clean(self) -> None:
        """Remove what a killed server left, before anybody asks."""
        kept = {f"{job.id}{ending}" for job in self._jobs.all() for ending in ("", listing.ENDING)}
        for path in self._places.views.iterdir():
            if path.name not in kept:
                _removed(path)

    def forever(self) -> None:
        """Until `stop`. What cannot be done for now is tried again, and no job is lost."""
        delay, untidy = PATIENCE[0], True
        while not self._stop.asked:
            try:
                if untidy:
                    self._tidy()
                    untidy = False
                for job in self._due():
                    if self._stop.asked:
                        break
                    self._deal_with(job)
                    delay = PATIENCE[0]
                self._pairs.all()  # so that it is known since when they are complete
                self._stop.wait(POLL)
            except (OSError, EngineError, BackendError, MemoryError) as error:
                self._in_trouble(error)
                untidy = True
                self._stop.wait(delay)
                delay = min(2 * delay, PATIENCE[1])

    def cancel(self, job: Job) -> Job:
        """A job that runs ends after the window that is being computed."""
        with self._lock:
            if found := self._jobs.change(
                job.id, only=("waiting",), state="cancelled", ended=now()
            ):
                return found
            if self.running != job.id:
                raise RefusedError(409, f"job {job.id}: has ended, there is nothing to cancel")
            self._unwanted.add(job.id)
        return job

    def resume(self, job: Job) -> Job:
        found = self._jobs.change(
            job.id, only=("cancelled", "failed"), state="waiting", ended=None, error=None
        )
        if found is None:
            raise RefusedError(409, f"job {job.id}: is {job.state}; expected cancelled or failed")
        return found

    def delete(self, job: Job) -> None:
        """With its maps, and its uploads where no other job uses them."""
        try:
            found = self._marked(job)
        except OSError:  # a full disk: what can be made again makes room for the mark
            if job.has_ended:
                _removed(self._places.views / job.id)
            found = self._marked(job)
        if found is None:
            raise RefusedError(409, f"job {job.id}: is being mapped; cancel it first")
        self._remove(found)

    def _marked(self, job: Job) -> Job | None:
        return self._jobs.change(
            job.id, only=("waiting", "done", "failed", "cancelled"), state="deleting"
        )

    def _remove(self, job: Job) -> None:
        maps, view = self._places.maps, self._places.views / job.id
        for path in (
            maps / job.id,
            maps / WORKING / job.id,
            view,
            view.with_suffix(listing.ENDING),
        ):
            _removed(path)
        for image in (job.pre, job.post):
            if image.upload and [each.id for each in self._jobs.uses(image.upload)] == [job.id]:
                with contextlib.suppress(RefusedError):
                    self._uploads.forget(image.upload)
        self._jobs.forget(job.id)

    def _tidy(self) -> None:
        self._disks.check()
        (self._places.maps / WORKING).mkdir(exist_ok=True)
        jobs = self._jobs.all()
        for job in jobs:
            if job.state == "deleting":
                self._remove(job)
            elif job.state == "running":  # its end could not be written
                self._jobs.change(job.id, state="waiting")
        going_on = {job.id for job in jobs if job.state in ("waiting", "running", "cancelled")}
        clear(self._places.maps, going_on)
        for job in jobs:
            if job.state == "done" and not (self._places.views / job.id).exists():
                self._show(job)

    def _due(self) -> list[Job]:
        """One that was in trouble last, and not too soon."""
        waiting = self._jobs.next()
        self._troubles.keep({job.id for job in waiting})
        tried = [(self._troubles.tries(job.id), job) for job in waiting]
        due = [(tries, job) for tries, job in tried if tries is not None]
        return [job for _, job in sorted(due, key=lambda one: one[0])]

    def _deal_with(self, job: Job) -> None:
        with self._lock:
            begun = self._jobs.change(
                job.id, only=("waiting",), state="running", started=job.started or now()
            )
            if begun is None:
                return
            self.running, self.progress = job.id, (0, begun.windows)
            self._counted = None
        try:
            with self._timed():
                why = self._troubles.given_up(job.id) or self._map(begun)
            notes = () if why else self._notes(begun)
        except StoppedError:
            self._ended(begun, "cancelled" if job.id in self._unwanted else "waiting", None)
        except (ChangedError, StaleError) as error:
            self._ended(begun, "failed", reason(error))
        except (MemoryError, EngineError, BackendError, OSError) as error:
            self._troubles.postpone(job.id, error)
            self._ended(begun, "waiting", None)
            raise
        except Exception as error:  # a defect of ours; other jobs need not wait for its cure
            cli.note("".join(traceback.format_exception(error)))
            self._ended(begun, "failed", f"unexpected {type(error).__name__}: {reason(error)}")
        else:
            self._troubles.over(job.id)
            self.trouble = None
            if why is None:
                self._troubles.mapped += 1
                self.mapped += 1
            else:
                self.failed += 1
            self._ended(begun, "failed" if why else "done", why, notes)

    def _map(self, job: Job) -> str | None:
        """None when its maps are there."""
        if not is_done(self._places.maps, job.id):
            pair = Pair(job.id, Path(job.pre.path), Path(job.post.path))
            engine = self._engine.get()
            with self._disks.steady():
                why = map_counted(engine, pair, self._places.maps, self._options, told=self._told)
            if why is not None:
                return why
        return None

    def _notes(self, job: Job) -> tuple[str, ...]:
        """Those of the map, once it can be looked at."""
        notes = list(records.load_json(self._places.maps / job.id / SUMMARY).get("notes", ()))
        if holes := windows_without_result(self._places.maps, job.id):
            notes.append(f"{holes} windows could not be computed and are not known")
        if why := self._show(job):
            notes.append(why)
        return tuple(notes)

    def _show(self, job: Job) -> str | None:
        """Make what the page shows; why not, if it cannot be."""
        folder = self._places.views / job.id
        maps = self._places.maps / job.id
        try:
            if not folder.exists():
                listing.make(maps, folder.with_suffix(listing.ENDING))
                views.make(Path(job.pre.path), Path(job.post.path), maps, folder, self._options)
        except Exception as error:  # whatever it is, the map is there, and other jobs wait
            why = f"the page cannot show this map: {reason(error)}"
            cli.note(f"{shown(job.name)}: {why}")
            return why
        return None

    def _told(self, done: int, of: int) -> None:
        """From the thread that computes."""
        if self._counted is not None:
            self.windows += done - self._counted
        self._counted, self.progress = done, (done, of)
        if self._stop.asked or self.running in self._unwanted:
            raise StoppedError("ended, to go on later")

    def _ended(self, job: Job, state: str, error: str | None, notes: tuple[str, ...] = ()) -> None:
        with self._lock:
            ended, windows = None if state == "waiting" else now(), self.progress[1] or job.windows
            self._unwanted.discard(job.id)
            self.running, self.progress = None, (0, 0)
            self._jobs.change(
                job.id, state=state, ended=ended, error=error, notes=notes, windows=windows
            )

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - start

    def _in_trouble(self, error: Exception) -> None:
        if isinstance(error, (EngineError, BackendError)):
            self._engine.close()
        where = self._places.maps
        line = os_reason(error, where) if isinstance(error, OSError) else reason(error)
        if line != self.trouble:
            cli.note(f"error: {line}; no job is lost, trying again")
        self.trouble = line


def _removed(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

"""The folder where pairs arrive: which are complete, and where they go when they are dealt with.

A pair lies in INBOX until its maps are in the outbox, then in INBOX/done/; one that cannot
be mapped goes to INBOX/failed/NAME/ with its reason. Nothing is deleted or replaced.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from runtime.errors import ConfigError
from runtime.files import sync, write_bytes
from runtime.many.pairs import Pair, name_and_role

DONE = "done"
FAILED = "failed"
REASON = "reason.txt"
_MOVING = ".moving"  # a folder of INBOX/failed that is not complete

Stamp = tuple[int, int]
"""Bytes, and nanoseconds of the time of the last change."""


@dataclass
class Arrival:
    """The images of one name that lie in the inbox. `since`: when the last of them changed."""

    name: str
    images: dict[str, list[Path]] = field(default_factory=lambda: {"pre": [], "post": []})
    stamps: dict[Path, Stamp] = field(default_factory=dict)
    since: float = 0.0

    @property
    def files(self) -> list[Path]:
        return [*self.images["pre"], *self.images["post"]]

    @property
    def has_both(self) -> bool:
        return all(self.images.values())

    @property
    def pair(self) -> Pair | None:
        """None while an image is missing, or when one is there twice."""
        if any(len(each) != 1 for each in self.images.values()):
            return None
        return Pair(self.name, self.images["pre"][0], self.images["post"][0])

    def unchanged(self) -> bool:
        """Are the files still those that were looked at?"""
        try:
            return all(_stamp(path.stat()) == stamp for path, stamp in self.stamps.items())
        except OSError:
            return False


class Inbox:
    """`settle`: seconds without a change after which a file counts as complete."""

    def __init__(self, folder: Path, settle: float) -> None:
        if not folder.is_dir():
            raise ConfigError(f"{folder}: not a folder; expected the folder where pairs arrive")
        self.folder = folder
        self.settle = settle
        self._seen: dict[Path, tuple[Stamp, float]] = {}
        for name in (DONE, FAILED):
            (folder / name).mkdir(exist_ok=True)

    def look(self) -> list[Arrival]:
        """What lies there now, the longest unchanged first."""
        now = time.monotonic()
        seen: dict[Path, tuple[Stamp, float]] = {}
        arrivals: dict[str, Arrival] = {}
        with os.scandir(self.folder) as entries:
            for entry in entries:
                found = name_and_role(entry.name)
                if found is None:
                    continue
                try:
                    if not entry.is_file():
                        continue
                    stamp = _stamp(entry.stat())
                except FileNotFoundError:  # taken away between two calls
                    continue
                path = self.folder / entry.name
                before = self._seen.get(path)
                seen[path] = before if before and before[0] == stamp else (stamp, now)
                arrival = arrivals.setdefault(found[0], Arrival(found[0]))
                arrival.images[found[1]].append(path)
                arrival.stamps[path] = stamp
                arrival.since = max(arrival.since, seen[path][1])
        self._seen = seen
        return sorted(arrivals.values(), key=lambda each: (each.since, each.name))

    def ready(self, arrivals: Iterable[Arrival]) -> list[Arrival]:
        """Those with both images, all complete."""
        latest = time.monotonic() - self.settle
        return [each for each in arrivals if each.has_both and each.since <= latest]

    def accept(self, files: Iterable[Path]) -> None:
        """To INBOX/done/."""
        for path in files:
            path.rename(_free(self.folder / DONE / path.name))
        sync(self.folder / DONE)

    def reject(self, arrival: Arrival, reason: str) -> None:
        """To INBOX/failed/NAME/, which appears whole: the images and reason.txt."""
        moving = self.folder / FAILED / f"{_MOVING}.{arrival.name}"
        moving.mkdir(exist_ok=True)
        write_bytes(moving / REASON, f"{reason}\n".encode(errors="replace"))
        for path in arrival.files:
            if path.exists():  # else it is what is wrong
                path.rename(moving / path.name)
        moving.rename(_free(self.folder / FAILED / arrival.name))
        sync(self.folder / FAILED)

    def recover(self, belongs: Callable[[str, str, Path], bool]) -> None:
        """Put right what an earlier run was about to move when it was killed.

        `belongs(name, role, file)`: are the maps of this name in the outbox, made from it?
        """
        for moving in sorted((self.folder / FAILED).glob(f"{_MOVING}.*")):
            (moving / REASON).unlink(missing_ok=True)
            for path in moving.iterdir():
                path.rename(_free(self.folder / path.name))
            moving.rmdir()
        for arrival in self.look():
            if not arrival.has_both:
                for role, paths in arrival.images.items():
                    self.accept(path for path in paths if belongs(arrival.name, role, path))


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_size, status.st_mtime_ns


def _free(path: Path) -> Path:
    """`path`, or the first of path-2, path-3, ... that nothing has."""
    free, number = path, 1
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free

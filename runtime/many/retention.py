"""How long maps are kept: the oldest go where there are more days, or bytes, than were allowed.

Only what a watch made itself: finished maps in the outbox, and the images of mapped pairs in
INBOX/done. Nothing is removed without being asked for. Maps that someone has corrected are kept:
they are work that no device can do again.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime.corrections.aside import NAMES as OF_PEOPLE
from runtime.errors import ConfigError
from runtime.many.inbox import DONE
from runtime.many.outbox import WORKING
from runtime.options import SUMMARY

DAY = 86_400.0
GIB = 1 << 30

EVERY = 60.0
"""Seconds between two looks: to add up the sizes of thousands of maps takes a while."""


@dataclass(frozen=True)
class Limits:
    """days: since a map was finished. gib: of maps and done images together. None: no limit."""

    days: float | None = None
    gib: float | None = None

    def __post_init__(self) -> None:
        for name, value, unit in (("days", self.days, "days"), ("gib", self.gib, "GiB")):
            if value is not None and not 0 < value < 1e9:
                raise ConfigError(f"--keep-{name} {value:g}: expected more than 0 {unit}")


@dataclass(frozen=True)
class _Kept:
    path: Path
    since: float
    size: int
    ours: bool
    """May it go? Else it only counts."""


class Retention:
    """Of one outbox and its inbox. warn: is told what was removed, and what cannot be."""

    def __init__(
        self, outbox: Path, inbox: Path, limits: Limits, warn: Callable[[str], None]
    ) -> None:
        self._outbox, self._done, self._limits, self._warn = outbox, inbox / DONE, limits, warn
        self._looked = -EVERY
        self._told_full = False

    def keep_within(self) -> None:
        """Remove what is beyond the limits; at most every `EVERY` seconds."""
        limits = self._limits
        if (limits.days, limits.gib) == (None, None) or time.monotonic() - self._looked < EVERY:
            return
        self._looked = time.monotonic()
        there = sorted([*self._maps(), *self._images()], key=lambda each: each.since)
        total = sum(each.size for each in there)
        most = float("inf") if limits.gib is None else limits.gib * GIB
        # Clocks step back, too: then nothing is older than it was.
        oldest = -float("inf") if limits.days is None else time.time() - limits.days * DAY
        for each in there:
            if each.since >= oldest and total <= most:
                break
            if each.ours and self._removed(each.path):
                total -= each.size
        full = total > most
        if full and not self._told_full:
            self._warn(
                f"{self._outbox}: {total / GIB:.2f} GiB of maps and images, more than --keep-gib "
                f"{limits.gib:g}: what is left was corrected by hand, or cannot be removed"
            )
        self._told_full = full

    def _removed(self, path: Path) -> bool:
        # Renamed first: a map is there whole, or not at all.
        gone = self._outbox / WORKING / f".gone-{path.name}"
        try:
            if path.is_dir():
                if gone.exists():
                    shutil.rmtree(gone)
                path.replace(gone)
                shutil.rmtree(gone)
            else:
                path.unlink()
        except OSError as error:
            self._warn(f"{path}: cannot be removed ({error.strerror}), it stays")
            return False
        self._warn(f"{path}: removed, as --keep-days or --keep-gib say")
        return True

    def _maps(self) -> Iterator[_Kept]:
        for path in self._listed(self._outbox):
            summary = path / SUMMARY
            with contextlib.suppress(OSError):
                if path.name == WORKING or path.is_symlink() or not summary.is_file():
                    continue
                by_hand = any((path / name).exists() for name in OF_PEOPLE)
                yield _Kept(path, summary.stat().st_mtime, _size(path), not by_hand)

    def _images(self) -> Iterator[_Kept]:
        for path in self._listed(self._done):
            with contextlib.suppress(OSError):
                if path.is_file() and not path.is_symlink():
                    status = path.stat()
                    # When it was put there: the image itself may be of last year.
                    yield _Kept(path, status.st_ctime, status.st_size, True)

    def _listed(self, folder: Path) -> list[Path]:
        with contextlib.suppress(OSError):
            return list(folder.iterdir())
        return []


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size
    return total

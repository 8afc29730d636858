"""Are the disks that the folders of a watch lie on still there?

A disk that is taken out leaves an empty folder where it was mounted. What is written there is
hidden when the disk comes back, and lost to whoever looks for it. And one that is back when it is
looked at has made everything fail that was at work meanwhile.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class _Place:
    """mount: where the folder's disk is mounted. itself: device and inode of the folder."""

    folder: Path
    mount: Path
    itself: tuple[int, int] | None


class Disks:
    """Of folders that are there now."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._places = [_Place(each, _mount_of(each), _itself(each)) for each in folders]

    def check(self) -> None:
        """Raises OSError (ENODEV) where a disk is gone; another one in its place is taken."""
        for place in self._places:
            if not os.path.ismount(place.mount) and _itself(place.folder) != place.itself:
                raise _gone(place, "is gone; mount it again")

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Raises the same, before and after, and where a disk was taken out meanwhile: then neither
        what was written nor what failed means anything, whatever error it gave."""
        self.check()
        before = self._marks()
        try:
            yield
        finally:
            self.check()
            for place, was, now in zip(self._places, before, self._marks(), strict=True):
                if was != now:
                    raise _gone(place, "was taken out for a while")

    def _marks(self) -> list[tuple[object, ...]]:
        """Of each folder, what is another one where its disk was mounted again."""
        numbers = self._numbers()
        return [(_itself(each.folder), n) for each, n in zip(self._places, numbers, strict=True)]

    def _numbers(self) -> list[str | None]:
        """The system's number of each mount."""
        try:
            lines = _MOUNTS.read_text(errors="surrogateescape").splitlines()
        except OSError:
            return [None] * len(self._places)
        # Of mounts on one place the last hides the others.
        numbers = {_unescaped(each.split(" ")[4]): each.split(" ")[0] for each in lines}
        return [numbers.get(str(place.mount)) for place in self._places]


def _gone(place: _Place, what: str) -> OSError:
    message = f"the disk that was mounted at {place.mount} {what}"
    return OSError(errno.ENODEV, message, str(place.folder))


def _mount_of(folder: Path) -> Path:
    real = Path(os.path.realpath(folder))
    return next(each for each in (real, *real.parents) if os.path.ismount(each))


def _itself(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _unescaped(text: str) -> str:
    """A path as mountinfo writes it: blanks and backslashes in octal."""
    for code in (r"\040", r"\011", r"\012", r"\134"):
        text = text.replace(code, chr(int(code[1:], 8)))
    return text

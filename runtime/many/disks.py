"""Are the disks that the folders of a watch lie on still there?

A disk that is taken out leaves an empty folder where it was mounted. What is written there is
hidden when the disk comes back, and lost to whoever looks for it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


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
                raise OSError(
                    errno.ENODEV,
                    f"the disk that was mounted at {place.mount} is gone; mount it again",
                    str(place.folder),
                )


def _mount_of(folder: Path) -> Path:
    real = Path(os.path.realpath(folder))
    return next(each for each in (real, *real.parents) if os.path.ismount(each))


def _itself(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino

"""Is there room on the disk for the maps of a scene? Asked before hours of work."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from runtime.errors import ImageError

MADE = 1
"""Bytes a pixel of a map while it is made, at most: rows of windows without any work take none."""

WRITTEN = 5 / 3
"""The same when it is written, at most: with its overviews, a third, and these once more while
GDAL makes them: noise, which Deflate cannot press, takes 1.57. A map of a town takes an eighth."""


def checked(folder: Path, size: tuple[int, int], maps: Sequence[str]) -> list[str]:
    """A note where maps of [height,width] in this folder may not fit on its disk.

    Raises OSError (ENOSPC) where they cannot, ImageError where they could not on the empty disk.
    """
    disk = shutil.disk_usage(folder)
    pixels = size[0] * size[1]
    needed = MADE * pixels * len(maps) - sum(_held(folder / name) for name in maps)
    most = needed + WRITTEN * pixels * len(maps)
    if most <= disk.free:
        return []
    free = f"{_gib(disk.free)} of {_gib(disk.total)} are free"
    what = f"maps of {size[0]}x{size[1]} pixels"
    if needed <= disk.free:
        return [
            f"{folder.parent}: {what} take {_gib(needed)} to {_gib(most)} while they are made, "
            f"{free}; where they do not fit, --resume goes on when there is room"
        ]
    message = f"{what} need {_gib(needed)} and more here while they are made, {free}"
    if needed > disk.total:
        raise ImageError(
            f"{folder}: {message}; map a part of the scene, cut with gdal_translate -srcwin"
        )
    raise OSError(errno.ENOSPC, f"{message}; free some, or choose another folder", str(folder))


def _held(path: Path) -> int:
    """What an unfinished map has of the disk already: files begin as holes."""
    with suppress(OSError):
        return path.stat().st_blocks * 512
    return 0


def _gib(count: float) -> str:
    return f"{count / (1 << 30):.1f} GiB"

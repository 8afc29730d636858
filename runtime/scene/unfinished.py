"""The maps of a scene while they are made, on disk, so that a killed run can go on.

A file of one byte a pixel for each map, in the scene's order, and a journal that says how many
rows of windows are done. A row is in the journal only once its pixels are synced; one in which
nothing was computed is in the journal alone, and a hole in the files. Rows are synced together:
on a busy disk that takes longer than to make them.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime import files, records
from runtime.errors import ConfigError
from runtime.locks import LOCK
from runtime.scene.stored import Stored
from runtime.scene.strip import EMPTY, Strip
from runtime.scene.windows import Span

_JOURNAL = "journal.json"

UNSYNCED_SECONDS = 5.0
"""What a kill or a power cut can lose: the work of so long, or one row of windows."""

Read = Callable[[int, int], NDArray[np.uint8]]
"""First row and number of rows -> uint8 [rows,W] of a map."""


@dataclass(frozen=True)
class FailedTile:
    """A window that could not be read or inferred: nodata in the maps. Pixels of the scene."""

    row: int
    column: int
    height: int
    width: int
    reason: str


@dataclass(frozen=True)
class Skipped:
    """Windows beside one another in a row that a gate skipped, by what they keep: pixels of the
    scene."""

    row: int
    column: int
    height: int
    width: int
    windows: int


@dataclass(frozen=True)
class Journal:
    """`identity`: of engine, images and options. `heights`: pixels of the rows that are done.

    `height`: of the scene. `holes`: first row of pixels of the rows of windows in which nothing
    was computed; the files need not hold them. `skipped`: what a gate skipped.
    """

    identity: dict[str, Any]
    heights: tuple[int, ...]
    failed: tuple[FailedTile, ...]
    height: int
    holes: tuple[int, ...] = ()
    skipped: tuple[Skipped, ...] = ()


class Unfinished:
    """The maps of one scene of [height, width]; rows of windows are added from the top.

    maps: the names of those that are stored: damage, confidence, building.
    """

    def __init__(
        self, folder: Path, size: tuple[int, int], maps: Sequence[str], journal: Journal
    ) -> None:
        self.folder = folder
        self.size = size
        self.maps = tuple(maps)
        self.journal = journal
        self._written: set[str] = set()
        self._synced = time.monotonic()

    @classmethod
    def begin(
        cls, folder: Path, size: tuple[int, int], maps: Sequence[str], identity: Mapping[str, Any]
    ) -> Unfinished:
        """Anew, in place of what is in the folder."""
        discard(folder)
        for name in maps:
            with files.naming(folder / name), (folder / name).open("wb") as file:
                file.truncate(size[0] * size[1])
        work = cls(folder, size, maps, Journal(dict(identity), (), (), size[0]))
        work._write()
        return work

    @property
    def ready(self) -> Path:
        """The folder of what is written when all rows are done."""
        return self.folder / "ready"

    @property
    def rows(self) -> int:
        """Rows of windows that are done."""
        return len(self.journal.heights)

    def failed_rows(self) -> list[int]:
        """Rows of windows, from 0, that have a tile which failed."""
        tops = list(accumulate(self.journal.heights, initial=0))
        return sorted({tops.index(tile.row) for tile in self.journal.failed})

    def add(
        self, strip: Strip, failed: tuple[FailedTile, ...], skipped: tuple[Skipped, ...] = ()
    ) -> None:
        """The next row of windows, or one that was there before, made anew.

        It is safe when `sync` has been called, which this does now and then.
        """
        empty = strip.is_empty
        for name in () if empty else self.maps:
            path = self.folder / name
            with files.naming(path), path.open("r+b") as file:
                file.seek(strip.top * self.size[1])
                file.write(np.ascontiguousarray(getattr(strip, name)).data)
            self._written.add(name)
        before = self.journal
        heights, holes = before.heights, {*before.holes} - {strip.top}
        if strip.top == sum(heights):
            heights = (*heights, len(strip.damage))
        self.journal = dataclasses.replace(
            before,
            heights=heights,
            failed=(*(each for each in before.failed if each.row != strip.top), *failed),
            holes=tuple(sorted(holes | {strip.top} if empty else holes)),
            skipped=(*(each for each in before.skipped if each.row != strip.top), *skipped),
        )
        if time.monotonic() - self._synced >= UNSYNCED_SECONDS:
            self.sync()

    def sync(self) -> None:
        """All rows so far outlast a power cut. The journal comes last: it speaks for the files."""
        for name in sorted(self._written):
            files.sync(self.folder / name)
        self._written.clear()
        self._write()
        self._synced = time.monotonic()

    def fill(
        self, rows: Sequence[Span], read: Mapping[str, Read], skipped: Sequence[Skipped] = ()
    ) -> None:
        """All rows, from finished maps; what a gate skipped of them."""
        for row in rows:
            top, height = row.begin, row.end - row.begin
            strip = Strip(top, **{name: read[name](top, height) for name in self.maps})
            self.add(strip, (), tuple(each for each in skipped if each.row == top))
        self.sync()

    def strips(self) -> Iterator[Strip]:
        """The rows that are done now."""
        top = 0
        for height in self.journal.heights:
            window = (top, 0, height, self.size[1])
            names = [name for name in self.maps if name != "building"]
            yield Strip(top, **{name: self.read(name, *window) for name in names})
            top += height

    def read(self, name: str, top: int, left: int, height: int, width: int) -> NDArray[np.uint8]:
        """A window of one map, uint8 [height,width].

        A copy: what is mapped of a file until it is closed counts as memory.
        """
        return np.array(self.whole(name)[top : top + height, left : left + width])

    def damage_and_confidence(self) -> tuple[Stored, Stored]:
        """What buildings are graded by."""
        return self.whole("damage"), self.whole("confidence")

    def whole(self, name: str) -> Stored:
        """One map, as far as it is done; read by parts."""
        return Stored(self.folder / name, self.size, self._runs(), EMPTY[name])

    def _runs(self) -> list[tuple[int, int]]:
        """Rows of pixels that the files hold, from top to bottom."""
        runs: list[tuple[int, int]] = []
        holes = set(self.journal.holes)
        for end, height in zip(accumulate(self.journal.heights), self.journal.heights, strict=True):
            begin = end - height
            if begin in holes:
                continue
            if runs and runs[-1][1] == begin:
                begin = runs.pop()[0]
            runs.append((begin, end))
        return runs

    def _write(self) -> None:
        files.write_json(self.folder / _JOURNAL, dataclasses.asdict(self.journal))


def begun(folder: Path) -> Journal | None:
    """What an earlier run left in the folder; None where there is no row to go on with.

    Raises ConfigError for what cannot be read.
    """
    path = folder / _JOURNAL
    if not path.exists():
        return None
    try:
        journal = records.parse(Journal, records.load_json(path))
    except records.RecordError as error:
        raise ConfigError(f"{path}: {error}; --restart throws it away and begins anew") from error
    return journal if journal.heights else None


def is_kept(folder: Path) -> bool:
    """Is there anything that --resume could go on with, or --restart has to throw away?"""
    try:
        return begun(folder) is not None
    except ConfigError:
        return True


def discard(folder: Path) -> None:
    """Empty the folder, which is made if it is not there; who holds its lock keeps it."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()

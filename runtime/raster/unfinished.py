"""The maps of a scene while they are made, on disk, so that a killed run can go on.

Two files of one byte a pixel, in the scene's order, and a journal that says how many rows of
windows they hold. A row is in the journal only once its pixels are synced.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime import files, records
from runtime.errors import ConfigError
from runtime.raster.strip import Strip

MAPS = ("damage", "confidence")
_JOURNAL = "journal.json"


@dataclass(frozen=True)
class FailedTile:
    """A window that could not be read or inferred: nodata in the maps. Pixels of the scene."""

    row: int
    column: int
    height: int
    width: int
    reason: str


@dataclass(frozen=True)
class Journal:
    """`identity`: of engine, images and options. `heights`: pixels of the rows that are done.

    `height`: of the scene.
    """

    identity: dict[str, Any]
    heights: tuple[int, ...]
    failed: tuple[FailedTile, ...]
    height: int


class Unfinished:
    """The maps of one scene of [height, width]; rows of windows are added from the top."""

    def __init__(self, folder: Path, size: tuple[int, int], journal: Journal) -> None:
        self.folder = folder
        self.size = size
        self.journal = journal

    @classmethod
    def open(
        cls, folder: Path, size: tuple[int, int], identity: Mapping[str, Any], resume: bool
    ) -> Unfinished:
        """Begin in `folder`, or go on with what is there.

        Raises ConfigError where what is there is of another engine, pair or option.
        """
        path = folder / _JOURNAL
        if resume and path.exists():
            try:
                journal = records.parse(Journal, records.load_json(path))
            except records.RecordError as error:
                raise ConfigError(f"{path}: {error}; start again without --resume") from error
            other = [key for key in identity if journal.identity.get(key) != identity[key]]
            if other:
                raise ConfigError(
                    f"{folder}: an unfinished map with another {', '.join(other)}; "
                    "start again without --resume"
                )
            return cls(folder, size, journal)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in MAPS:
            with (folder / name).open("wb") as file:
                file.truncate(size[0] * size[1])
        work = cls(folder, size, Journal(dict(identity), (), (), size[0]))
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

    def add(self, strip: Strip, failed: tuple[FailedTile, ...]) -> None:
        """The next row of windows, or one that was there before, made anew."""
        for name, pixels in zip(MAPS, (strip.damage, strip.confidence), strict=True):
            with (self.folder / name).open("r+b") as file:
                file.seek(strip.top * self.size[1])
                file.write(np.ascontiguousarray(pixels).data)
                file.flush()
                os.fsync(file.fileno())
        heights = self.journal.heights
        if strip.top == sum(heights):
            heights = (*heights, len(strip.damage))
        others = (tile for tile in self.journal.failed if tile.row != strip.top)
        self.journal = dataclasses.replace(self.journal, heights=heights, failed=(*others, *failed))
        self._write()

    def strips(self) -> Iterator[Strip]:
        """The rows that are done now."""
        top = 0
        for height in self.journal.heights:
            yield Strip(top, *self.read(top, 0, height, self.size[1]))
            top += height

    def read(
        self, top: int, left: int, height: int, width: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """damage and confidence of a window, uint8 [height,width]."""
        damage, confidence = (
            np.memmap(self.folder / name, np.uint8, "r", shape=self.size)[
                top : top + height, left : left + width
            ].copy()
            for name in MAPS
        )
        return np.asarray(damage), np.asarray(confidence)

    def _write(self) -> None:
        files.write_json(self.folder / _JOURNAL, dataclasses.asdict(self.journal))

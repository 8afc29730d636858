"""Windows through the engine, row by row: strips of the scene's maps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from runtime.damage import NODATA
from runtime.engine import Engine
from runtime.errors import BackendError, ImageError, ToolkitError
from runtime.raster.grid import ScenePair
from runtime.raster.strip import Strip
from runtime.raster.unfinished import FailedTile
from runtime.raster.windows import Window

NOT_COMPUTED = 0
"""In the confidence map, where damage is NODATA. The probability of the most likely of two or
more classes is never near 0, so nothing that was computed has this value."""

GIVING_UP = 3
"""Windows in a row at which the engine fails before the run ends."""

Read = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_] | None]
"""pre and post, and where both are data; None: everywhere."""


@dataclass(frozen=True, eq=False)
class Tile:
    """A window with its pixels, or why it has none."""

    window: Window
    pixels: Read | ImageError


def read_tiles(pair: ScenePair, windows: Iterable[Window], size: tuple[int, int]) -> Iterator[Tile]:
    """Tiles of the engine's `size`; what a small scene lacks is mirrored."""
    for window in windows:
        yield Tile(window, _read(pair, window, size))


def _read(pair: ScenePair, window: Window, size: tuple[int, int]) -> Read | ImageError:
    height, width = min(size[0], pair.height), min(size[1], pair.width)
    try:
        pre, post, valid = pair.read(window.row.start, window.column.start, height, width)
    except ImageError as error:
        return error
    if (height, width) != size:
        border = ((0, size[0] - height), (0, size[1] - width))
        pre, post = (np.pad(each, (*border, (0, 0)), mode="symmetric") for each in (pre, post))
    return pre, post, valid


def infer_rows(
    engine: Engine, tiles: Iterable[Tile], width: int
) -> Iterator[tuple[Strip, tuple[FailedTile, ...]]]:
    """A strip of `width` pixels for each row of tiles, and its tiles that failed.

    The tiles come row by row.

    Raises BackendError when the engine fails `GIVING_UP` times in a row.
    """
    in_a_row = 0
    for span, row in groupby(tiles, lambda tile: tile.window.row):
        shape = (span.end - span.begin, width)
        strip = Strip(span.begin, np.full(shape, NODATA, np.uint8), np.zeros(shape, np.uint8))
        failed = []
        for tile in row:
            try:
                _infer(engine, tile, strip)
                in_a_row = 0
            except ToolkitError as error:
                in_a_row += isinstance(error, BackendError)
                if in_a_row == GIVING_UP:
                    raise
                failed.append(_failure(tile.window, error))
        yield strip, tuple(failed)


def _infer(engine: Engine, tile: Tile, strip: Strip) -> None:
    """Fill the tile's part of the strip, where it is data."""
    if isinstance(tile.pixels, ImageError):
        raise tile.pixels
    pre, post, valid = tile.pixels
    row, column = tile.window.row, tile.window.column
    kept = (
        slice(row.begin - row.start, row.end - row.start),
        slice(column.begin - column.start, column.end - column.start),
    )
    wanted = None if valid is None else valid[kept]
    if wanted is not None and not wanted.any():
        return
    result = engine.predict(pre, post)
    damage, confidence = result.damage[kept], result.confidence[kept]
    if wanted is not None:
        damage = np.where(wanted, damage, np.uint8(NODATA))
        confidence = np.where(wanted, confidence, np.uint8(NOT_COMPUTED))
    there = (slice(None), slice(column.begin, column.end))
    strip.damage[there] = damage
    strip.confidence[there] = confidence


def _failure(window: Window, error: ToolkitError) -> FailedTile:
    row, column = window.row, window.column
    return FailedTile(
        row.begin, column.begin, row.end - row.begin, column.end - column.begin, str(error)
    )

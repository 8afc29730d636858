"""Windows through the engine, row by row: strips of the scene's maps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from runtime.engine import Engine, Pair, Prediction
from runtime.errors import BackendError, ImageError, ToolkitError
from runtime.scene.batches import predict_each
from runtime.scene.gate import Background, Gate, joined
from runtime.scene.strip import EMPTY, Strip
from runtime.scene.unfinished import FailedTile, Skipped
from runtime.scene.windows import Span, Window, mirrored
from runtime.source.contract import Known, Pixels
from runtime.source.pair import ScenePair
from runtime.source.quality import CLEAR, judged

GIVING_UP = 3
"""Windows in a row at which the engine fails before the run ends."""

Read = tuple[Pixels, Pixels, Known | None]
"""pre and post, and where both are known; None: everywhere."""


@dataclass(frozen=True, eq=False)
class Tile:
    """A window with its pixels, or why it has none.

    quality: of the part of it that is kept, see `runtime.source.quality`; None: not looked at.
    """

    window: Window
    pixels: Read | ImageError
    quality: NDArray[np.uint8] | None = None


def read_tiles(
    pair: ScenePair,
    windows: Iterable[Window],
    size: tuple[int, int],
    *,
    judge: bool = False,
    mask: bool = False,
) -> Iterator[Tile]:
    """Tiles of the engine's `size`; what a small scene lacks is mirrored.

    judge: look at the quality of both images, too. mask: where it is bad, nothing is known.
    """
    for window in windows:
        yield _read(pair, window, size, judge or mask, mask)


def _read(pair: ScenePair, window: Window, size: tuple[int, int], judge: bool, mask: bool) -> Tile:
    height, width = min(size[0], pair.height), min(size[1], pair.width)
    top, left = window.row.start, window.column.start
    try:
        pre, post, known = pair.read(top, left, height, width)
    except ImageError as error:
        return Tile(window, error)
    quality = None
    if judge:
        layer = judged(pre, post, known, top, left)
        if mask:
            known = layer == CLEAR
        quality = layer[window.kept]
    return Tile(window, (mirrored(pre, size), mirrored(post, size), known), quality)


@dataclass(frozen=True, eq=False)
class Row:
    """A row of windows: its maps, which windows failed, and which a gate skipped."""

    strip: Strip
    failed: tuple[FailedTile, ...]
    skipped: tuple[Skipped, ...] = ()


def infer_rows(
    engine: Engine,
    rows: Iterable[Span],
    tiles: Iterable[Tile],
    width: int,
    maps: Sequence[str],
    gate: Gate | None = None,
) -> Iterator[Row]:
    """Each of the rows of windows, as a strip of `width` pixels.

    The tiles come row by row. What no tile keeps is not computed.
    maps: those that are asked for, by their names in `Strip`.
    gate: its windows without a building are background, and not given to the engine.

    Raises BackendError when the engine fails `GIVING_UP` times in a row or has not worked once;
    EngineError at once.
    """
    of_engine = [name for name in maps if name != "quality"]
    in_a_row, worked = 0, False
    last: BackendError | None = None
    by_row = groupby(predict_each(engine, _asked(tiles, gate)), lambda each: each[0].window.row)
    following = None
    for span in rows:
        shape = (span.end - span.begin, width)
        strip = Strip(span.begin, **{name: np.full(shape, EMPTY[name], np.uint8) for name in maps})
        failed, skipped = [], []
        following = following or next(by_row, None)
        here = following is not None and following[0] == span
        for part, answer in following[1] if following and here else ():
            if strip.quality is not None and part.quality is not None:
                strip.quality[:, part.window.place[1]] = part.quality
            if isinstance(answer, BackendError):
                in_a_row, last = in_a_row + 1, answer
                if in_a_row == GIVING_UP:
                    raise answer
                failed.append(_failure(part.window, answer))
            elif isinstance(part.wanted, ImageError):
                failed.append(_failure(part.window, part.wanted))
            elif part.background:
                _fill(strip, of_engine, part, part.background.maps())
                skipped.append(part.window.column)
                worked = True
            elif answer:
                _fill(strip, of_engine, part, answer)
                in_a_row, worked = 0, True
        following = None if here else following
        yield Row(strip, tuple(failed), joined(span, skipped))
    if last and not worked:
        raise last


@dataclass(frozen=True, eq=False)
class _Part:
    """Of a window, bool [H,W] or True for all: the pixels that are kept; or why there are none."""

    window: Window
    wanted: NDArray[np.bool_] | bool | ImageError
    quality: NDArray[np.uint8] | None = None
    background: Background | None = None
    """Instead of the engine's maps."""


def _asked(tiles: Iterable[Tile], gate: Gate | None) -> Iterator[tuple[_Part, Pair | None]]:
    """With the images, where there is anything for the engine to compute."""
    known = _known(tiles)
    if gate is None:
        yield from known
        return
    for part, pair, found in gate.sort((part, part.window, pair) for part, pair in known):
        yield (replace(part, background=found) if found else part), pair


def _known(tiles: Iterable[Tile]) -> Iterator[tuple[_Part, Pair | None]]:
    """With the images, where anything of what is kept is known."""
    for tile in tiles:
        if isinstance(tile.pixels, ImageError):
            yield _Part(tile.window, tile.pixels), None
            continue
        pre, post, known = tile.pixels
        wanted = True if known is None else known[tile.window.kept]
        if np.any(wanted):
            yield _Part(tile.window, wanted, tile.quality), (pre, post)
        else:
            yield _Part(tile.window, False, tile.quality), None


def _fill(strip: Strip, maps: Sequence[str], part: _Part, result: Prediction) -> None:
    """The window's part of the strip, where it is known."""
    there = (slice(None), part.window.place[1])
    for name in maps:
        kept = getattr(result, name)[part.window.kept]
        np.copyto(getattr(strip, name)[there], kept, where=part.wanted)


def _failure(window: Window, error: ToolkitError) -> FailedTile:
    row, column = window.row, window.column
    return FailedTile(
        row.begin, column.begin, row.end - row.begin, column.end - column.begin, str(error)
    )

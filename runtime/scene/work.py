"""The strips of a scene: what an earlier run stored, then windows read, inferred and stored.

Each stage works on the next window while the one after it is busy.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from runtime.errors import ConfigError
from runtime.scene.ahead import ahead
from runtime.scene.gate import Gate
from runtime.scene.inference import Tile, infer_rows, read_tiles
from runtime.scene.strip import Strip
from runtime.scene.unfinished import Unfinished
from runtime.scene.windows import WindowRows
from runtime.source.pair import ScenePair

if TYPE_CHECKING:
    from runtime.engine import Engine

REACH = 64
"""Pixels from a window's edge, whatever its size, within which labels differ from those of a
larger window. Without them less than 0.1 % of a map does (`benchmarks.seams`)."""
TILES_AHEAD = 4

Told = Callable[[int, int], None]
"""Is told, window by window, how many are dealt with, and of how many, from a thread of its own.
What it raises ends the work, of which nothing is lost: StoppedError, where that is meant."""
STRIPS_AHEAD = 1


def strips(
    engine: Engine,
    pair: ScenePair,
    rows: WindowRows,
    work: Unfinished,
    gate: Gate | None = None,
    mask_quality: bool = False,
    told: Told | None = None,
) -> Generator[Strip, None, None]:
    """The whole scene from the top; windows that failed before are tried once more.

    gate: the engine's, if it is to decide which windows are computed.
    mask_quality: do not compute ground that cannot be judged.
    told: see `Told`.
    """

    def counted(tiles: Iterable[Tile], todo: Sequence[int]) -> Iterator[Tile]:
        before = _windows(rows, range(todo[0])) if todo else 0
        for number, tile in enumerate(tiles, before):
            if told:
                told(number, every)
            yield tile

    every = _windows(rows, range(len(rows)))

    def infer(todo: Sequence[int]) -> Iterator[Strip]:
        size = engine.height, engine.width
        tiles_ahead = max(TILES_AHEAD, engine.manifest.input.batch.opt)
        spans = (rows.rows[index] for index in todo)
        judge = "quality" in work.maps
        read = read_tiles(pair, rows.windows(todo), size, judge=judge, mask=mask_quality)
        # However this ends, no thread reads from the images when they are closed.
        with (
            closing(ahead(read, tiles_ahead)) as tiles,
            closing(
                ahead(
                    infer_rows(engine, spans, counted(tiles, todo), pair.width, work.maps, gate),
                    STRIPS_AHEAD,
                )
            ) as inferred,
        ):
            for row in inferred:
                work.add(row.strip, row.failed, row.skipped)
                yield row.strip

    try:
        for _ in infer(work.failed_rows()):
            pass  # read back below, where its place is
        done = work.rows
        yield from work.strips()
        yield from infer(range(done, len(rows)))
        if told:
            told(every, every)
    finally:  # also of what is interrupted nothing is lost
        work.sync()


def _windows(rows: WindowRows, some: range) -> int:
    """Windows that are asked for of some rows, from the first on."""
    if rows.wanted is None:
        return len(some) * len(rows.columns)
    return int(rows.wanted[: len(some)].sum())


def halo_of(engine: Engine, asked: int | None) -> int:
    """Pixels; raises ConfigError where nothing would be kept."""
    least = min(engine.height, engine.width)
    halo = default_halo(least, engine.manifest.model.reach_px) if asked is None else asked
    if 2 * halo >= least:
        raise ConfigError(
            f"--halo is {halo}; the engine's windows are {engine.height}x{engine.width} pixels, "
            f"expected at most {(least - 1) // 2}"
        )
    return halo


def default_halo(side: int, reach: int | None) -> int:
    """Of windows with sides of at least `side` pixels: the reach of the network, as it was
    measured, else an eighth; at least `REACH`, at most a quarter."""
    return min(max(REACH, side // 8 if reach is None else reach), side // 4)

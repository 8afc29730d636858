"""Every tile of a split read whole before the first step, as a bad one would stop a long run.

What was read whole at an earlier start, and has not changed since, is not read again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from runtime import cli, host
from runtime.damage import CLASS_NAMES
from runtime.errors import DataError, ToolkitError
from train.checked import CheckRecord, TileFacts, facts_of, key_of, settled_key_of
from train.ground import pixel_m
from train.masks import MaskCache
from train.pool import mapped
from train.window_cache import WindowCache, content_of
from train.xbd import Tile, label_outside

if TYPE_CHECKING:  # a process that checks tiles needs no PyTorch
    from train.data_config import DataConfig
    from train.distributed import World

_KEPT_EVERY = 512
"""Tiles after which what was found is kept, should the rest be interrupted."""


@dataclass(frozen=True)
class Checked:
    """The tiles that can be used, by name, and one line for each that cannot."""

    good: list[TileFacts]
    bad: list[str]


def smallest_side(data: DataConfig) -> int:
    """Pixels that a tile needs in height and width."""
    return data.windows[0]


def sides(facts: Iterable[TileFacts]) -> set[int]:
    """The tiles' shorter sides, pixels."""
    return {min(fact.height, fact.width) for fact in facts}


def require_side(tile: Tile, height: int, width: int, side: int) -> None:
    """DataError unless a window of `side` pixels fits into the tile."""
    if min(height, width) < side:
        raise DataError(
            f"{tile.pre}: {height}x{width} (height x width); expected {side} pixels or more each "
            "way; lower data.window, or data.crop where there is none"
        )


def check_tiles(
    tiles: Sequence[Tile],
    masks: MaskCache,
    side: int,
    windows: WindowCache | None = None,
    show_progress: bool = False,
) -> Checked:
    """Decode, parse and rasterise each tile that no earlier start has, which fills `masks` and
    `windows` as well.

    A tile is bad when one of its images is damaged or no 8-bit RGB, when the two differ in
    size or are smaller than `side` pixels, or when a label cannot be read.

    Raises:
        OSError: what is to be kept cannot be written.
    """
    record = CheckRecord(masks.folder)
    known, rest = _known(tiles, record, windows)
    if not rest:
        return _in_order(_of_side(facts, side) for facts in known)
    if windows:
        windows.prepare(rest)
    check = partial(_check, masks=masks, side=side, windows=windows)
    ranks_here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    results = mapped(check, rest, max(1, host.physical_cores() // ranks_here))
    with tqdm(
        results,
        desc="check tiles",
        total=len(rest),
        leave=False,
        disable=None if show_progress else True,
    ) as bar:
        found = _recorded(bar, record)
    return _in_order([*(_of_side(facts, side) for facts in known), *found])


def _known(
    tiles: Sequence[Tile], record: CheckRecord, windows: WindowCache | None
) -> tuple[list[TileFacts], list[Tile]]:
    """What an earlier start has found, and the tiles that have changed since or are new."""
    lines = record.read()
    known, rest = [], []
    for tile in tiles:
        try:
            line = lines.get(key_of(tile)) if lines else None
        except OSError:  # the check will say so
            line = None
        facts = facts_of(tile, line) if line else None
        if facts and (windows is None or windows.holds(facts.content, facts.height, facts.width)):
            known.append(facts)
        else:
            rest.append(tile)
    return known, rest


_Found = tuple[TileFacts | str, str | None]
"""Of a tile: what was found, and the key to keep it by."""


def _recorded(results: Iterable[_Found], record: CheckRecord) -> list[TileFacts | str]:
    """All that is found; it is kept on the way, and where the rest is not to be had."""
    found: list[TileFacts | str] = []
    fresh: list[tuple[str, TileFacts]] = []
    try:
        for facts, key in results:
            found.append(facts)
            if key and isinstance(facts, TileFacts):
                fresh.append((key, facts))
            if len(fresh) == _KEPT_EVERY:
                _keep(fresh, record)
    finally:
        _keep(fresh, record)
    return found


def _keep(fresh: list[tuple[str, TileFacts]], record: CheckRecord) -> None:
    try:
        record.add(fresh)
    except OSError as error:
        cli.note(
            f"{record.folder}: what was checked cannot be kept ({error.strerror}), so the next "
            "start checks it again"
        )
    fresh.clear()


def _of_side(facts: TileFacts, side: int) -> TileFacts | str:
    try:
        require_side(facts.tile, facts.height, facts.width, side)
    except DataError as error:
        return " ".join(str(error).split())
    return facts


def check_together(
    tiles: Sequence[Tile],
    masks: MaskCache,
    side: int,
    world: World,
    windows: WindowCache | None = None,
) -> Checked:
    """`check_tiles`, dealt out over the ranks; the whole result on each of them."""
    mine = tiles[world.rank :: world.size]
    found = check_tiles(mine, masks, side, windows, show_progress=world.leads)
    return merge(world.gather(found))


def merge(parts: Sequence[Checked]) -> Checked:
    """One result of those of several ranks, in the order of one rank that checked all."""
    return _in_order([each for part in parts for each in (*part.good, *part.bad)])


def _in_order(results: Iterable[TileFacts | str]) -> Checked:
    found = list(results)
    good = [each for each in found if isinstance(each, TileFacts)]
    bad = [each for each in found if isinstance(each, str)]
    return Checked(sorted(good, key=lambda facts: facts.tile.name), sorted(bad))


def _images(tile: Tile) -> tuple[np.ndarray, np.ndarray]:
    try:
        return tile.images()
    except OSError as error:  # of a failing disk, it names no file
        raise DataError(
            f"{error.filename or tile.pre}: {error.strerror}; expected a file that can be read"
        ) from error


def _check(tile: Tile, masks: MaskCache, side: int, windows: WindowCache | None) -> _Found:
    key = settled_key_of(tile)
    facts = _facts(tile, masks, side, windows)
    return facts, key if key and key == settled_key_of(tile) else None


def _facts(tile: Tile, masks: MaskCache, side: int, windows: WindowCache | None) -> TileFacts | str:
    try:
        pre, post = _images(tile)
        height, width = pre.shape[:2]
        require_side(tile, height, width, side)
        building, damage = masks.targets(tile, height, width)
        outside = label_outside(tile, building, damage)
    except ToolkitError as error:
        return " ".join(str(error).split())
    except OSError as error:
        # Writing a mask can fail too, which is no fault of the tile.
        if error.filename not in map(str, tile.labels):
            raise
        return f"{error.filename}: {error.strerror}; expected a file that can be read"
    content = content_of(pre, post)
    if windows and not windows.holds(content, height, width):
        windows.write(content, pre, post)
    pixels = np.bincount(damage.ravel(), minlength=256)[: len(CLASS_NAMES)]
    targets = hashlib.sha256(building)
    targets.update(damage)
    return TileFacts(
        tile,
        height,
        width,
        pixels.astype(np.int64),
        int(np.count_nonzero(building)),
        content,
        targets.hexdigest(),
        np.array_equal(pre, post),
        outside,
        pixel_m(tile.labels[0]),
    )

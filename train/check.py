"""Every tile of a split read whole before the first step, as a bad one would stop a long run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from runtime import host
from runtime.damage import CLASS_NAMES
from runtime.errors import DataError, ToolkitError
from train.config import DataConfig
from train.ground import pixel_m
from train.masks import MaskCache
from train.xbd import Tile, label_outside


@dataclass(frozen=True, eq=False)  # an array in it has no single truth value
class TileFacts:
    """What was found of a tile that can be used."""

    tile: Tile
    height: int
    width: int
    pixels: np.ndarray
    """Pixels per damage class, int64 [5]; un-classified ones are not counted."""
    buildings: int
    """Pixels of the building target."""
    content: str
    """Fingerprint of both images' pixels, whatever the files are named or how they are stored."""
    alike: bool
    """Whether the image after is the one before."""
    outside: Path | None = None
    """A label of footprints that all lie outside of the tile."""
    pixel_m: float | None = None
    """See `train.ground`."""


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
    tiles: Sequence[Tile], masks: MaskCache, side: int, show_progress: bool = False
) -> Checked:
    """Decode, parse and rasterise each tile, which fills `masks` as well.

    A tile is bad when one of its images is damaged or no 8-bit RGB, when the two differ in
    size or are smaller than `side` pixels, or when a label cannot be read.
    """

    def check(tile: Tile) -> TileFacts | str:
        return _check(tile, masks, side)

    ranks_here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    with ThreadPoolExecutor(max(1, host.physical_cores() // ranks_here)) as threads:
        results = threads.map(check, tiles)
        with tqdm(
            results,
            desc="check tiles",
            total=len(tiles),
            leave=False,
            disable=None if show_progress else True,
        ) as bar:
            return _in_order(bar)


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


def _check(tile: Tile, masks: MaskCache, side: int) -> TileFacts | str:
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
    pixels = np.bincount(damage.ravel(), minlength=256)[: len(CLASS_NAMES)]
    digest = hashlib.sha256(f"{pre.shape}".encode())
    for image in (pre, post):
        digest.update(np.ascontiguousarray(image))
    return TileFacts(
        tile,
        height,
        width,
        pixels.astype(np.int64),
        int(np.count_nonzero(building)),
        digest.hexdigest(),
        np.array_equal(pre, post),
        outside,
        pixel_m(tile.labels[0]),
    )

"""The windows of a scene that adaptation reads: a sample of it, and those around corrections."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from runtime.errors import ConfigError, ImageError
from runtime.manifest import STRIDE
from runtime.scene.inference import read_tiles
from runtime.scene.windows import Span, Window, window_rows
from runtime.source.pair import ScenePair
from train.adaptation.corrections import Correction

DEFAULT_SIDE = 512
MIN_KNOWN = 0.25
"""Part of a window that is known, for it to be in a sample."""

_TRIES = 8
"""Windows that are looked at for each one of the sample, where much of a scene is not known."""


@dataclass(frozen=True, eq=False)
class Patch:
    """pre, post: uint8 [S, S, 3] RGB. known: bool [S, S], where both show the ground.

    top, left: of its first pixel in the scene.
    """

    top: int
    left: int
    pre: np.ndarray
    post: np.ndarray
    known: np.ndarray


def check_side(side: int) -> None:
    if side < 2 * STRIDE or side % STRIDE:
        raise ConfigError(
            f"--window {side}: expected a multiple of {STRIDE}, at least {2 * STRIDE}"
        )


def sample(pair: ScenePair, side: int, count: int, seed: int) -> list[Patch]:
    """Up to `count` windows from all over the scene, without those of which little is known.

    A scene is read nowhere else, so what this takes does not grow with it.

    Raises:
        ImageError: no window is known well enough, or the file cannot be read.
    """
    rows = window_rows((pair.height, pair.width), (side, side), 0)
    numbers = random.Random(seed).sample(range(rows.count), min(rows.count, _TRIES * count))
    found: list[Patch] = []
    across = len(rows.columns)
    windows = (Window(rows.rows[n // across], rows.columns[n % across]) for n in numbers)
    for patch in read_patches(pair, windows, side):
        if patch.known.mean() >= MIN_KNOWN:
            found.append(patch)
        if len(found) == count:
            break
    if not found:
        raise ImageError(
            f"{pair.post.path}: in none of {len(numbers)} windows of {side}x{side} pixels a "
            f"quarter is known in both images; a smaller --window may find some (multiples of "
            f"{STRIDE})"
        )
    return found


def around(
    corrections: Sequence[Correction], height: int, width: int, side: int
) -> tuple[list[Window], list[int]]:
    """Few windows that hold all corrections, and for each correction the window it is judged in.

    A correction lies at least an eighth of the side from a window's edges, unless the scene ends
    there or it is as large as that; of one larger than a window its middle is seen.
    """
    margin = side // 8
    windows: list[Window] = []
    of_correction: list[int] = []
    for each in corrections:
        top, left, bottom, right = each.box
        rows, columns = (top, bottom, height), (left, right, width)
        for number, window in enumerate(windows):
            if _holds(window.row, *rows, side, margin) and _holds(
                window.column, *columns, side, margin
            ):
                of_correction.append(number)
                break
        else:
            of_correction.append(len(windows))
            windows.append(Window(_centred(*rows, side), _centred(*columns, side)))
    return windows, of_correction


def read_patches(pair: ScenePair, windows: Iterable[Window], side: int) -> Iterator[Patch]:
    """As an engine of that size reads them; what a small scene lacks is mirrored, and not known."""
    for tile in read_tiles(pair, windows, (side, side)):
        if isinstance(tile.pixels, ImageError):
            raise tile.pixels
        pre, post, there = tile.pixels
        known = np.zeros((side, side), bool)
        height, width = min(side, pair.height), min(side, pair.width)
        known[:height, :width] = True if there is None else there
        yield Patch(tile.window.row.start, tile.window.column.start, pre, post, known)


def _centred(begin: int, end: int, length: int, side: int) -> Span:
    start = max(0, min((begin + end - side) // 2, length - side))
    return Span(start, start, min(length, start + side))


def _holds(span: Span, begin: int, end: int, length: int, side: int, margin: int) -> bool:
    first = span.start + (margin if span.start else 0)
    last = span.start + side - (margin if span.start + side < length else 0)
    return first <= begin and end <= last

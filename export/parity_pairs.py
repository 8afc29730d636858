"""Which pairs an engine is compared on: those on which the network shows what it knows.

On a pair without buildings every engine agrees. So candidates are put in order by what their
labels hold, the FP32 network maps them one after the other, and as soon as it has predicted
enough of every damage class, the fewest pairs that hold this are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, product
from pathlib import Path

import cv2
import numpy as np

from calibration.tiles import choose
from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES
from runtime.errors import DataError
from train.inference import Maps, Runner
from train.synthetic.scene import make_scene
from train.xbd import Tile, find_tiles

TILES, WINDOWS, SCENES = 8, 12, 8
"""At the most: tiles of a data set that are looked into, their windows that the network maps, and
synthetic scenes that it maps besides where these do not show every class."""

ENOUGH = 512
"""Pixels of a class after which no more pairs are looked for: some buildings."""

SEED = 20_260
"""Of the synthetic scenes."""

_DAMAGE = slice(DAMAGE_CLASSES[0], len(CLASS_NAMES))


@dataclass(frozen=True, eq=False)
class Candidate:
    """A pair of the engine's size, uint8 [H, W, 3] RGB each, and where it comes from.

    labelled: int64 [5], pixels of each label; zeros where there are no labels.
    """

    pre: np.ndarray
    post: np.ndarray
    origin: str
    labelled: np.ndarray


@dataclass(frozen=True, eq=False)
class ParityPair:
    """A pair with FP32's maps of it."""

    pre: np.ndarray
    post: np.ndarray
    origin: str
    maps: Maps

    @property
    def images(self) -> tuple[np.ndarray, np.ndarray]:
        return self.pre, self.post

    @property
    def predicted(self) -> np.ndarray:
        """int64 [5], pixels of each label."""
        return _counts(self.maps[0])


def windows(data: Path, split: str, height: int, width: int, fewest: int = 1) -> list[Candidate]:
    """Of some tiles of `data`, those first whose labels hold most of what no other has shown; of
    tiles without labels those first that have most texture, as towns have. At least `fewest`,
    where there are as many.

    Raises:
        DataError: no tile of the split is that large, or one cannot be read.
    """
    tiles = find_tiles(data, split, labelled=False)
    tiles = [tile for tile in tiles if tile.labelled] or tiles
    found = [
        each
        for tile in choose(tiles, max(TILES, fewest))
        for each in _cut(tile, split, height, width)
    ]
    if not found:
        raise DataError(
            f"--data {data}: no tile of split {split} is {height}x{width} or larger; choose a "
            "smaller --size, or leave --data out to compare on synthetic scenes"
        )
    found.sort(key=lambda each: -_texture(each.pre))
    order = _covering([each.labelled for each in found])
    return [found[index] for index in islice(order, max(WINDOWS, fewest))]


def scenes(height: int, width: int) -> Iterator[Candidate]:
    """Synthetic ones, always the same."""
    for index in range(SCENES):
        scene = make_scene(SEED, index, max(height, width))
        pre, post = (image[:height, :width] for image in (scene.pre, scene.post))
        yield Candidate(pre, post, f"synthetic scenes (seed {SEED})", _counts(pre[:0]))


def parity_pairs(
    fp32: Runner, found: Sequence[Candidate], spare: Iterator[Candidate], fewest: int
) -> list[ParityPair]:
    """The pairs to compare on, at least `fewest`, where there are as many.

    Args:
        fp32: the network's maps.
        found: of a data set, in the order in which they are worth mapping; may be empty.
        spare: what to go on with where these do not show every class.
    """
    mapped: list[ParityPair] = []
    for each in chain(found, spare):
        maps = fp32(each.pre, each.post)
        mapped.append(ParityPair(each.pre, each.post, each.origin, maps))
        if len(mapped) >= fewest and _seen(mapped).min() >= ENOUGH:
            break
    kept: list[ParityPair] = []
    goal = np.minimum(_seen(mapped), ENOUGH)
    for index in _covering([each.predicted for each in mapped]):
        if len(kept) >= fewest and (_seen(kept) >= goal).all():
            break
        kept.append(mapped[index])
    return kept


def content(pairs: Sequence[ParityPair]) -> dict[str, int]:
    """Pixels by class name that FP32 predicts on all of them."""
    total = np.sum([each.predicted for each in pairs], 0)
    return dict(zip(CLASS_NAMES, map(int, total), strict=True))


def described(pairs: Sequence[ParityPair]) -> str:
    """Such as "2 of split test, 1 of synthetic scenes (seed 20260)"."""
    origins = Counter(each.origin for each in pairs)
    return ", ".join(f"{count} of {origin}" for origin, count in origins.items())


def _cut(tile: Tile, split: str, height: int, width: int) -> Iterator[Candidate]:
    pre, post = tile.images()
    size = pre.shape[:2]
    tops, lefts = range(0, size[0] - height + 1, height), range(0, size[1] - width + 1, width)
    corners = list(product(tops, lefts))
    damage = tile.targets(*size)[1] if tile.labelled and corners else None
    for top, left in corners:
        at = slice(top, top + height), slice(left, left + width)
        shown = pre[:0] if damage is None else damage[at]
        yield Candidate(pre[at], post[at], f"split {split}", _counts(shown))


def _counts(labels: np.ndarray) -> np.ndarray:
    """int64 [5], pixels of each label of uint8 [...]; what is to be ignored is not counted."""
    return np.bincount(labels.ravel(), minlength=256)[: len(CLASS_NAMES)]


def _seen(pairs: Sequence[ParityPair]) -> np.ndarray:
    """int64 [4], predicted pixels of each damage class."""
    return np.sum([each.predicted[_DAMAGE] for each in pairs], 0, initial=0)


def _covering(counts: Sequence[np.ndarray]) -> Iterator[int]:
    """Every index of `counts`, int64 [5] each, the one next that adds most to the classes of
    which fewer than ENOUGH pixels have been seen; the first of those that add as much."""
    left, seen = dict(enumerate(counts)), np.zeros(len(CLASS_NAMES), np.int64)
    while left:
        missing = np.maximum(ENOUGH - seen, 0)
        gain = {index: np.minimum(each, missing)[_DAMAGE].sum() for index, each in left.items()}
        best = max(gain, key=lambda index: gain[index])
        seen = seen + left.pop(best)
        yield best


def _texture(image: np.ndarray) -> float:
    """Mean contrast between neighbours, in grey values."""
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean())

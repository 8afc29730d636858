"""One map of several of the same ground, each from another image after the disaster.

An image takes part in a pixel where its map was computed and the image shows the ground (see
`source.quality`); where none of them shows it, all that were computed take part. The class is the
one with the largest sum of confidence over these, of equal sums the more severe; its confidence
is that sum over their number: one image alone keeps its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from runtime.damage import CLASS_NAMES, NODATA
from runtime.scene.strip import EMPTY, PART_PIXELS, Strip
from runtime.scene.unfinished import Read, Unfinished
from runtime.source.quality import hidden_after

MOST = 7
"""Images: a pixel's sources are a byte, of which one value is NODATA."""

ROWS = 512
"""Read at a time: as high as the blocks of our GeoTIFFs."""


def fuse(
    images: Sequence[Mapping[str, Read]],
    each: Sequence[Unfinished],
    work: Unfinished,
    numbers: Sequence[int],
) -> Iterator[Strip]:
    """The strips of the map of all, which are added to `work`.

    images: of each, its finished maps by name. numbers: of each, from 1: the map of sources has the
        bit of that number.
    each: to which the damage and the confidence of an image are added where it takes part; NODATA
        elsewhere.
    """
    height, width = work.size
    step = max(1, PART_PIXELS // max(1, width))
    for top in range(0, height, ROWS):
        rows = min(ROWS, height - top)
        maps = [{name: read(top, rows) for name, read in one.items()} for one in images]
        parts = [
            fused(top + first, [_rows(one, first, first + step) for one in maps], numbers)
            for first in range(0, rows, step)
        ]
        used = np.concatenate([part for _, part in parts], axis=1)
        for one, seen, store in zip(maps, used, each, strict=True):
            damage = np.where(seen, one["damage"], np.uint8(NODATA))
            store.add(Strip(top, damage, np.where(seen, one["confidence"], np.uint8(0))), ())
        whole = Strip(
            top,
            **{
                name: np.concatenate([getattr(strip, name) for strip, _ in parts])
                for name in work.maps
            },
        )
        work.add(whole, ())
        yield whole


def fused(
    top: int, images: Sequence[Mapping[str, NDArray[np.uint8]]], numbers: Sequence[int]
) -> tuple[Strip, NDArray[np.bool_]]:
    """Rows of the map of all, and where each image takes part, bool [N,h,W].

    images: damage, confidence and quality of each, uint8 [h,W]; building where there is one.
    """
    damage, confidence, quality = (
        np.stack([one[name] for one in images]) for name in ("damage", "confidence", "quality")
    )
    computed = damage != NODATA
    shown = computed & ~hidden_after(quality)
    used = np.where(shown.any(axis=0), shown, computed)
    number = used.sum(axis=0, dtype=np.uint16)
    chosen, most = np.full(number.shape, NODATA, np.uint8), np.zeros(number.shape, np.uint16)
    weights = np.where(used, confidence, np.uint8(0))
    for value in range(len(CLASS_NAMES)):
        votes = np.where(damage == value, weights, np.uint8(0)).sum(axis=0, dtype=np.uint16)
        wins = (votes >= most) & (used & (damage == value)).any(axis=0)
        chosen[wins], most[wins] = value, votes[wins]
    some = np.maximum(number, 1)
    kept = np.clip((most + some // 2) // some, 1, 255).astype(np.uint8)
    kept[number == 0] = EMPTY["confidence"]
    building = None
    if "building" in images[0]:
        stacked = np.where(used, np.stack([one["building"] for one in images]), np.uint8(0))
        building = ((stacked.sum(axis=0, dtype=np.uint16) + some // 2) // some).astype(np.uint8)
    bits = np.array([1 << number - 1 for number in numbers], np.uint8)[:, None, None]
    sources = np.where(used, bits, np.uint8(0)).sum(axis=0, dtype=np.uint8)
    sources[number == 0] = EMPTY["sources"]
    return Strip(top, chosen, kept, building, _quality(quality, used), sources), used


def _quality(quality: NDArray[np.uint8], used: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Of the first image that takes part; without one, of the first that says anything."""
    said = np.where(used.any(axis=0), used, quality != NODATA)
    first = said.argmax(axis=0)
    return np.asarray(np.take_along_axis(quality, first[None], axis=0)[0], np.uint8)


def _rows(
    maps: Mapping[str, NDArray[np.uint8]], first: int, last: int
) -> dict[str, NDArray[np.uint8]]:
    return {name: each[first:last] for name, each in maps.items()}

"""The pictures of a sheet: before, after, and the damage as it stands, at the size of paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.corrections import NOT_A_BUILDING, Correction
from runtime.damage import BACKGROUND, CLASS_COLOURS, CLASS_NAMES, NODATA, UNCLASSIFIED
from runtime.errors import ImageError
from runtime.finished.folder import FinishedMap
from runtime.finished.images import opened
from runtime.output.overlay import overlay
from runtime.output.quicklook import LARGEST as OVERLAY_LARGEST
from runtime.output.quicklook import PART, parts, worst

Picture = NDArray[np.uint8]
"""[H,W,3] RGB."""

LARGEST = 1600
"""Pixels a side, of the damage: 220 to an inch on paper."""

SMALLER = 800
"""Of the images before and after."""

_FALSE_ALARM = (90, 90, 90)
_PAPER = 235
_QUALITY = 88


@dataclass(frozen=True, eq=False)
class Pictures:
    """damage: the classes over the image after. before, after: None where these are not here."""

    damage: Picture
    before: Picture | None
    after: Picture | None


def pictures_of(map_: FinishedMap, corrections: Sequence[Correction] = ()) -> Pictures:
    """corrections: those that hold, with rings in pixels of the map."""
    height, width = map_.size
    factor = max(1, -(-max(height, width) // LARGEST))
    shape = -(-height // factor), -(-width // factor)
    damage = np.zeros(shape, np.uint8)
    images: list[Picture] | None = [np.zeros((*shape, 3), np.uint8) for _ in range(2)]
    rows = map_.rows("damage")
    with opened(map_) as pair:
        if pair is None or (pair.height, pair.width) != (height, width):
            images = None
        step = max(1, PART // factor) * factor
        for top in range(0, height, step):
            strip = rows(top, min(step, height - top))
            for _, left, high, wide in parts((len(strip), width), step):
                small = -(-high // factor), -(-wide // factor)
                there = (
                    slice(top // factor, top // factor + small[0]),
                    slice(left // factor, left // factor + small[1]),
                )
                damage[there] = worst(strip[:, left : left + wide], factor)
                if images is None or pair is None:
                    continue
                for picture, source in zip(images, (pair.pre, pair.post), strict=True):
                    try:
                        picture[there] = source.reduced(top, left, high, wide, small)
                    except ImageError:  # black there, and told by the map
                        continue
    damage, gone = corrected(damage, corrections, factor)
    if images is None:
        return Pictures(_over_old(map_, damage, corrections, factor), None, None)
    after = images[1].copy()
    after[damage == NODATA] = _PAPER  # it is black there, mostly, and would print as a dark violet
    drawn = overlay(after, damage)
    drawn[gone] = _FALSE_ALARM
    return Pictures(drawn, *map(_smaller, images))


def corrected(
    damage: NDArray[np.uint8], corrections: Sequence[Correction], factor: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The reduced map with what people said, and the outlines of false alarms."""
    damage = damage.copy()
    gone = np.zeros(damage.shape, np.uint8)
    for each in corrections:
        if not each.ring or each.new_class == UNCLASSIFIED:
            continue
        ring = _reduced(each.ring, factor)
        if each.new_class == NOT_A_BUILDING:
            cv2.fillPoly(damage, [ring], BACKGROUND)
            cv2.polylines(gone, [ring], True, 1)
            continue
        inside = np.zeros(damage.shape, np.uint8)
        cv2.fillPoly(inside, [ring], 1)
        damage[inside > 0] = CLASS_NAMES.index(each.new_class)
    return damage, gone > 0


def png(picture: Picture) -> bytes:
    return _encoded(".png", picture, [])


def jpeg(picture: Picture) -> bytes:
    return _encoded(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])


def _encoded(suffix: str, picture: Picture, options: list[int]) -> bytes:
    done, content = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ImageError(f"a picture of shape {picture.shape} cannot be encoded as {suffix}")
    return bytes(content)


def _reduced(ring: Sequence[tuple[float, float]], factor: int) -> NDArray[np.int32]:
    return np.rint(np.asarray(ring, np.float64) / factor - 0.5).astype(np.int32)


def _smaller(picture: Picture) -> Picture:
    scale = SMALLER / max(picture.shape)
    if scale >= 1:
        return picture
    size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _over_old(
    map_: FinishedMap, damage: NDArray[np.uint8], corrections: Sequence[Correction], factor: int
) -> Picture:
    """On the map's own overlay.png, without its legend; on grey where that is missing."""
    height, width = map_.size
    own = max(1, -(-max(height, width) // OVERLAY_LARGEST))
    rows, columns = -(-height // own), -(-width // own)
    old = cv2.imread(str(map_.folder / "overlay.png"), cv2.IMREAD_COLOR)
    if old is None or old.shape[0] < rows or old.shape[1] != columns:
        return overlay(np.full((*damage.shape, 3), 60, np.uint8), damage)
    picture = cv2.cvtColor(old[:rows], cv2.COLOR_BGR2RGB)
    picture = cv2.resize(picture, damage.shape[::-1], interpolation=cv2.INTER_AREA)
    for each in corrections:
        if not each.ring or each.new_class == UNCLASSIFIED:
            continue
        false = each.new_class == NOT_A_BUILDING
        colour = _FALSE_ALARM if false else CLASS_COLOURS[CLASS_NAMES.index(each.new_class)]
        cv2.fillPoly(picture, [_reduced(each.ring, factor)], colour)
    return np.asarray(picture, np.uint8)

"""Pictures of a damage map, in the colours of the damage scale."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.damage import BACKGROUND, CLASS_COLOURS, CLASS_NAMES, DAMAGE_CLASSES, NODATA_NAME

NODATA_COLOUR = (255, 0, 255)
"""Magenta: no class has it and no landscape does, so it is never read as "no damage"."""

_FILL = 0.4
_HATCH = 8  # pixels between two hatching lines
_LINE, _MARGIN, _SWATCH, _PAPER = 18, 6, 12, 32
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.42


def colour_map(damage: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [H,W] classes -> uint8 [H,W,3] RGB; black background, magenta NODATA.

    A value outside the scale is shown as NODATA too.
    """
    colours = np.full((256, 3), NODATA_COLOUR, np.uint8)
    colours[: len(CLASS_COLOURS)] = CLASS_COLOURS
    return np.asarray(colours[damage], np.uint8)


def overlay(post: NDArray[np.uint8], damage: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image after the disaster, uint8 [H,W,3] RGB, with the damage drawn on it.

    Buildings are tinted and outlined, NODATA is tinted and hatched in magenta.
    """
    colours = colour_map(damage)
    drawn = damage != BACKGROUND
    nodata = damage > DAMAGE_CLASSES[-1]
    picture: NDArray[np.uint8] = post.copy()
    blended = np.asarray(cv2.addWeighted(post, 1 - _FILL, colours, _FILL, 0), np.uint8)
    picture[drawn] = blended[drawn]
    solid = _outlines(damage) | (nodata & _hatching(damage.shape))
    picture[solid] = colours[solid]
    return picture


def with_legend(picture: NDArray[np.uint8], damage: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with a legend in a strip below it, where it hides nothing.

    A picture too narrow for the longest entry is given back as it is.
    """
    entries = [(CLASS_NAMES[each], CLASS_COLOURS[each]) for each in DAMAGE_CLASSES]
    if (damage > DAMAGE_CLASSES[-1]).any():
        entries.append((NODATA_NAME, NODATA_COLOUR))
    column = 3 * _MARGIN + _SWATCH + max(_text_width(name) for name, _ in entries)
    columns = min(picture.shape[1] // column, len(entries))
    if columns == 0:
        return picture
    rows = -(-len(entries) // columns)
    strip = np.full((rows * _LINE + 2 * _MARGIN, picture.shape[1], 3), _PAPER, np.uint8)
    for index, (name, colour) in enumerate(entries):
        x = _MARGIN + index % columns * column
        y = _MARGIN + index // columns * _LINE
        cv2.rectangle(strip, (x, y), (x + _SWATCH, y + _SWATCH), colour, cv2.FILLED)
        at = (x + _SWATCH + _MARGIN, y + _SWATCH - 1)
        cv2.putText(strip, name, at, _FONT, _FONT_SCALE, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack([picture, strip])


def _text_width(text: str) -> int:
    return int(cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)[0][0])


def _outlines(damage: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The pixels of a building that have a pixel of another class beside them."""
    edge = np.zeros(damage.shape, bool)
    across = damage[:, 1:] != damage[:, :-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    down = damage[1:] != damage[:-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge &= damage != BACKGROUND
    return edge


def _hatching(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.asarray((rows + columns) % _HATCH == 0)

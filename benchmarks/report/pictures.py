"""Images and maps as data URIs: the page needs no other file."""

from __future__ import annotations

import base64

import cv2
import numpy as np

from runtime.damage import BACKGROUND, IGNORE
from runtime.output.overlay import colour_map

UNCLASSIFIED_COLOUR = (128, 128, 128)
"""RGB, in a truth map. The runtime's magenta means "not computed", which truth is not."""

FALSE_ALARM, MISSED, WRONG_CLASS = "false alarm", "missed", "wrong class"
ERROR_COLOURS = {
    FALSE_ALARM: (240, 150, 30),
    MISSED: (40, 130, 240),
    WRONG_CLASS: (200, 60, 200),
}
"""RGB, in a picture of errors."""

_SIDE = 512
"""Pixels; larger pictures are scaled down, since a page shows them smaller still."""
_JPEG_QUALITY = 85
_DIMMED = 0.45


def photo(image: np.ndarray) -> str:
    """uint8 [H,W,3] RGB."""
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    return _uri("jpeg", ".jpg", _fitted(image, cv2.INTER_AREA), options)


def damage_map(damage: np.ndarray) -> str:
    """Classes, uint8 [H,W], in their colours."""
    return _drawing(colour_map(damage))


def truth_map(truth: np.ndarray) -> str:
    """The same, with IGNORE in the colour of un-classified."""
    colours = colour_map(truth)
    colours[truth == IGNORE] = UNCLASSIFIED_COLOUR
    return _drawing(colours)


def errors(damage: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Where a map is wrong and how, bool [H,W] each; IGNORE in truth is never wrong."""
    counts = truth != IGNORE
    found, there = damage != BACKGROUND, truth != BACKGROUND
    return {
        FALSE_ALARM: counts & found & ~there,
        MISSED: counts & ~found & there,
        WRONG_CLASS: counts & found & there & (damage != truth),
    }


def error_map(post: np.ndarray, wrong: dict[str, np.ndarray]) -> str:
    """The image after the disaster, grey and dark, with what is wrong on it."""
    picture = _backdrop(post)
    for name, where in wrong.items():
        picture[where] = ERROR_COLOURS[name]
    return _drawing(picture)


def difference_map(post: np.ndarray, one: np.ndarray, other: np.ndarray) -> str:
    """The same, with the pixels where two maps differ."""
    picture = _backdrop(post)
    picture[one != other] = ERROR_COLOURS[WRONG_CLASS]
    return _drawing(picture)


def _backdrop(post: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(post, cv2.COLOR_RGB2GRAY)
    return cv2.cvtColor((grey * _DIMMED).astype(np.uint8), cv2.COLOR_GRAY2RGB)


def _drawing(colours: np.ndarray) -> str:
    """Nearest pixel: a mixture of two class colours would be a third class."""
    return _uri("png", ".png", _fitted(colours, cv2.INTER_NEAREST), [])


def _fitted(image: np.ndarray, interpolation: int) -> np.ndarray:
    scale = _SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=interpolation)


def _uri(kind: str, suffix: str, rgb: np.ndarray, options: list[int]) -> str:
    _, content = cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
    return f"data:image/{kind};base64,{base64.b64encode(content.tobytes()).decode()}"

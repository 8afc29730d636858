"""A tile at a glance: before, after, truth and prediction side by side in one picture."""

from __future__ import annotations

import cv2
import numpy as np

from runtime.damage import (
    BACKGROUND,
    CLASS_COLOURS,
    CLASS_NAMES,
    DAMAGE_CLASSES,
    IGNORE,
    NODATA,
    NODATA_NAME,
    UNCLASSIFIED,
)
from runtime.output.overlay import NODATA_COLOUR, overlay

UNCLASSIFIED_COLOUR = (0, 225, 225)
"""RGB cyan, in a truth column: off the scale from white to red, no magenta, which says "not
computed", and no blue, which tarpaulins on damaged roofs have."""

TITLES = ("before", "after", "truth", "prediction")

_NARROWEST = 256
"""Pixels; a narrower tile is enlarged by a whole factor, so that the writing has room."""
_FILL = 0.4
_PAPER, _INK = (32, 32, 32), (240, 240, 240)
_FONT, _CAPITAL = cv2.FONT_HERSHEY_SIMPLEX, 21  # height of a capital at scale 1, pixels


def panel(
    pre: np.ndarray, post: np.ndarray, truth: np.ndarray, prediction: np.ndarray
) -> np.ndarray:
    """Four columns, each under its title, and a legend below.

    Args:
        pre, post: uint8 [H, W, 3] RGB.
        truth: uint8 [H, W], classes; IGNORE (255) is an un-classified building, drawn cyan.
        prediction: uint8 [H, W], classes; NODATA (255) was not computed, drawn magenta.
    Returns:
        uint8 [H', W', 3] RGB; the columns have the tile's own resolution, enlarged if narrow.
    """
    factor = -(-_NARROWEST // pre.shape[1])
    pre, post, truth, prediction = (
        each.repeat(factor, 0).repeat(factor, 1) for each in (pre, post, truth, prediction)
    )
    height, width = truth.shape
    line = width // 24  # everything around the columns grows with them
    gap = np.full((height, line // 3, 3), _PAPER, np.uint8)
    parts = [gap]
    for column in (pre, post, _draw_truth(post, truth), overlay(post, prediction)):
        parts += [column, gap]
    body = np.hstack(parts)
    titles, legend = (np.full((2 * line, body.shape[1], 3), _PAPER, np.uint8) for _ in range(2))
    for index, title in enumerate(TITLES):
        _write(titles, title, line // 3 + index * (width + line // 3), line)
    x = line // 3
    for name, colour in _entries(truth, prediction):
        top = (legend.shape[0] - line) // 2
        cv2.rectangle(legend, (x, top), (x + line - 1, top + line - 1), colour, cv2.FILLED)
        x = _write(legend, name, x + line * 4 // 3, line) + line
    return np.vstack([titles, body, legend])


def _draw_truth(post: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """`overlay`, where un-classified buildings are tinted and outlined in their own colour."""
    unclassified = truth == IGNORE
    picture = overlay(post, np.where(unclassified, BACKGROUND, truth).astype(np.uint8))
    colour = np.full_like(post, UNCLASSIFIED_COLOUR)
    tinted = cv2.addWeighted(post, 1 - _FILL, colour, _FILL, 0)
    picture[unclassified] = tinted[unclassified]
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    edge = unclassified & (cv2.erode(unclassified.astype(np.uint8), cross) == 0)
    picture[edge] = UNCLASSIFIED_COLOUR
    return picture


def _entries(truth: np.ndarray, prediction: np.ndarray) -> list[tuple[str, tuple[int, int, int]]]:
    """Names and colours of the legend; the special ones only where they occur."""
    entries = [(CLASS_NAMES[each], CLASS_COLOURS[each]) for each in DAMAGE_CLASSES]
    if (truth == IGNORE).any():
        entries.append((UNCLASSIFIED, UNCLASSIFIED_COLOUR))
    if (prediction == NODATA).any():
        entries.append((NODATA_NAME, NODATA_COLOUR))
    return entries


def _write(strip: np.ndarray, text: str, x: int, line: int) -> int:
    """Text with capitals of 0.7 `line` in the middle of a strip; the x where it ends."""
    capital = 0.7 * line
    scale, thick = capital / _CAPITAL, max(1, line // 16)
    y = round((strip.shape[0] + capital) / 2)
    cv2.putText(strip, text, (x, y), _FONT, scale, _INK, thick, cv2.LINE_AA)
    return x + int(cv2.getTextSize(text, _FONT, scale, thick)[0][0])

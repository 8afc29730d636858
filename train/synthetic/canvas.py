"""What is painted on: colours, the light that falls on them, and the sun it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

Colour = tuple[float, float, float]

SHIFT = 4
"""Bits of sub-pixel precision in OpenCV's fixed-point drawing."""


@dataclass(frozen=True)
class Sun:
    azimuth: float
    """Degrees clockwise from north, as in xBD's metadata."""
    elevation: float
    """Degrees above the horizon."""

    @property
    def toward(self) -> np.ndarray:
        """Unit vector on the picture (x right, y down) towards the sun."""
        angle = math.radians(self.azimuth)
        return np.array([math.sin(angle), -math.cos(angle)])

    def shadow(self, height: float) -> np.ndarray:
        """Where the shadow of a point `height` px above the ground falls: float [2] xy."""
        return -self.toward * height / math.tan(math.radians(self.elevation))

    def on_slope(self, downhill: np.ndarray, pitch: float) -> np.ndarray:
        """Direct light on slopes falling towards `downhill` (float [..., 2]); flat ground is 1."""
        flat = math.sin(math.radians(self.elevation))
        grazing = math.cos(math.radians(self.elevation)) * (downhill @ self.toward)
        lit = math.cos(pitch) * flat + math.sin(pitch) * grazing
        return np.maximum(lit, 0) / flat


@dataclass
class Canvas:
    """Tile and margin. Drawing takes tile coordinates; arrays include the margin."""

    rgb: np.ndarray
    """uint8 [H, W, 3]: colour under full light on flat ground."""
    light: np.ndarray
    """float32 [H, W]: 1 is sunlit flat ground."""
    margin: int
    sun: Sun
    gloom: float
    """Light that is left in a shadow, of 1."""

    def polygon(self, points: np.ndarray, colour: Colour) -> None:
        cv2.fillPoly(self.rgb, [fixed(points, self.margin)], colour, cv2.LINE_AA, SHIFT)

    def line(self, points: np.ndarray, colour: Colour, width: float) -> None:
        closed = False
        path = [fixed(points, self.margin)]
        cv2.polylines(self.rgb, path, closed, colour, max(1, round(width)), cv2.LINE_AA, SHIFT)


def fixed(points: np.ndarray, margin: int) -> np.ndarray:
    return np.rint((np.asarray(points) + margin) * (1 << SHIFT)).astype(np.int32)


def sweep(mask: np.ndarray, ring: np.ndarray, offset: np.ndarray, margin: int) -> None:
    """Add to a uint8 mask what a ring covers while it moves by `offset`: a block's shadow."""
    following = np.roll(ring, -1, axis=0)
    for start, end in zip(ring, following, strict=True):
        quad = np.array([start, end, end + offset, start + offset])
        cv2.fillConvexPoly(mask, fixed(quad, margin), 255, cv2.LINE_AA, SHIFT)
    cv2.fillPoly(mask, [fixed(ring + offset, margin)], 255, cv2.LINE_AA, SHIFT)

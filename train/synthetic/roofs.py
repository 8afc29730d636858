"""Roofs: slopes in their own light, tiles, stains, parapets and what stands on flat ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from train.synthetic import noise
from train.synthetic.building import Building
from train.synthetic.canvas import SHIFT, Canvas, Sun, fixed

REACH = 14
"""px around a building that its rubble may reach: the border of its patch."""

TARPS = ((44, 92, 196), (66, 112, 206), (38, 74, 168), (52, 100, 180), (186, 196, 206))


@dataclass(frozen=True)
class Patch:
    """A window of the canvas around one building."""

    window: tuple[slice, slice]
    u: np.ndarray
    """float32 [h, w]: along the building, px from its centre."""
    v: np.ndarray
    inside: np.ndarray
    """bool [h, w]"""

    @property
    def shape(self) -> tuple[int, int]:
        return self.u.shape


def patch_of(building: Building, canvas: Canvas) -> Patch | None:
    """The part of the canvas around a building, or None where it lies beyond."""
    ring = building.ring()
    low = np.maximum(np.floor(ring.min(0)).astype(int) + canvas.margin - REACH, 0)
    high = np.ceil(ring.max(0)).astype(int) + canvas.margin + REACH + 1
    high = np.minimum(high, canvas.light.shape[::-1])
    if (high - low < 2).any():
        return None
    window = (slice(low[1], high[1]), slice(low[0], high[0]))
    y, x = np.mgrid[window].astype(np.float32)
    x -= building.centre[0] + canvas.margin
    y -= building.centre[1] + canvas.margin
    cosine, sine = math.cos(building.angle), math.sin(building.angle)
    mask = np.zeros(x.shape, np.uint8)
    cv2.fillPoly(mask, [fixed(ring - low, canvas.margin)], 1, cv2.LINE_8, SHIFT)
    return Patch(window, x * cosine + y * sine, y * cosine - x * sine, mask.astype(bool))


def paint_roof(canvas: Canvas, building: Building, patch: Patch) -> None:
    """The intact roof, old scars included."""
    rng = np.random.default_rng(building.seed)
    look = building.look
    rgb = np.broadcast_to(np.array(look.colour, np.float32), (*patch.shape, 3)).copy()
    stains = look.patina * noise.fractal(rng, patch.shape, 9, 3, 0.8)
    rgb *= (1 + stains + 0.03 * rng.standard_normal(patch.shape, dtype=np.float32))[..., None]
    if look.roof == "flat":
        light = np.ones(patch.shape, np.float32)
        _furnish(rng, canvas.sun, building, patch, rgb, light)
    else:
        light = _slopes(canvas.sun, canvas.gloom, building, patch)
        courses = np.sin(patch.v if rng.random() < 0.5 else patch.u) * rng.uniform(0, 0.04)
        rgb *= (1 + courses)[..., None]
    if look.scar == "tarp":
        cover = tarp(rng, patch, building, 0.25)
        rgb[cover] = TARPS[rng.integers(len(TARPS))]
    elif look.scar == "patches":
        field = noise.smooth(rng, patch.shape, 6)
        worn = patch.inside & (field > np.quantile(field[patch.inside], 0.78))
        rgb[worn] = np.array((96, 84, 72)) * rng.uniform(0.75, 1.3)
    blend(canvas, patch, patch.inside, rgb, light)


def blend(
    canvas: Canvas, patch: Patch, where: np.ndarray, rgb: np.ndarray, light: np.ndarray | float
) -> None:
    """Put colours (float [h, w, 3], 0..255) and light on the pixels `where` of the canvas."""
    target = canvas.rgb[patch.window]
    target[where] = np.clip(rgb[where], 0, 255).astype(np.uint8)
    shade = canvas.light[patch.window]
    shade[where] = light if isinstance(light, float) else light[where]


def tarp(rng: np.random.Generator, patch: Patch, building: Building, share: float) -> np.ndarray:
    """A rectangular sheet over about `share` of the roof, aligned with it: bool [h, w]."""
    u0, v0, u1, v1 = building.shape.rects[0]
    area = share * cv2.contourArea(building.shape.outline.astype(np.float32))
    deep = (v1 - v0) * (0.9 if share > 0.2 else rng.uniform(0.55, 0.9))
    wide = min(area / deep, 0.9 * (u1 - u0))
    left = rng.uniform(u0, u1 - wide)
    top = v0 if rng.random() < 0.5 else v1 - deep
    lies = (patch.u >= left) & (patch.u < left + wide) & (patch.v >= top) & (patch.v < top + deep)
    return lies & patch.inside


def _slopes(sun: Sun, gloom: float, building: Building, patch: Patch) -> np.ndarray:
    """Light on the roof planes: at each px the plane that stands highest there."""
    cosine, sine = math.cos(building.angle), math.sin(building.angle)
    down_u, down_v = np.array([cosine, sine]), np.array([-sine, cosine])
    faces = np.array([-down_u, down_u, -down_v, down_v])
    lit = gloom + (1 - gloom) * sun.on_slope(faces, building.look.pitch)
    best = np.full(patch.shape, -1e3, np.float32)
    light = np.ones(patch.shape, np.float32)
    for u0, v0, u1, v1 in building.shape.rects:
        away = np.stack([patch.u - u0, u1 - patch.u, patch.v - v0, v1 - patch.v])
        covered = away.min(0) > -1.0
        if building.look.roof == "gable":
            # Gables slope to the long sides only.
            away[: 2 if u1 - u0 >= v1 - v0 else 4][-2:] = 1e3
        height = np.where(covered, away.min(0), -1e3)
        higher = height > best
        light = np.where(higher, lit[away.argmin(0)].astype(np.float32), light)
        best = np.maximum(best, height)
    return light


def _furnish(
    rng: np.random.Generator,
    sun: Sun,
    building: Building,
    patch: Patch,
    rgb: np.ndarray,
    light: np.ndarray,
) -> None:
    """A parapet that shades its inner side, and boxes (cooling, stairs) with their shadows."""
    depth = cv2.distanceTransform(patch.inside.astype(np.uint8), cv2.DIST_L2, 3)
    rgb[depth <= 1.5] *= rng.choice([0.8, 1.12])
    fall = sun.shadow(1.8)
    moved = np.roll(depth > 1.5, np.rint(fall[::-1]).astype(int), axis=(0, 1))
    light[(depth > 1.5) & ~moved] = 0.62
    u0, v0, u1, v1 = building.shape.rects[0]
    along = sun.shadow(2.5)
    cosine, sine = math.cos(building.angle), math.sin(building.angle)
    shift_u, shift_v = along[0] * cosine + along[1] * sine, along[1] * cosine - along[0] * sine
    for _ in range(int((u1 - u0) * (v1 - v0) / 260)):
        half = rng.uniform(1.2, 3.0, 2)
        u = rng.uniform(u0 + 4, max(u1 - 4, u0 + 4.1))
        v = rng.uniform(v0 + 4, max(v1 - 4, v0 + 4.1))
        shade = (abs(patch.u - u - shift_u) < half[0]) & (abs(patch.v - v - shift_v) < half[1])
        unit = (abs(patch.u - u) < half[0]) & (abs(patch.v - v) < half[1])
        light[shade] = 0.6
        light[unit] = 1.1
        rgb[unit] = rng.uniform(110, 220)

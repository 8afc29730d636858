"""The ground: soil, grass, fields, woods' floor and water, the same in both pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from train.synthetic import noise
from train.synthetic.canvas import SHIFT, fixed
from train.synthetic.plan import MARGIN, Plan

BIOMES = (
    # grass, dry grass, bare soil, woods' floor
    ((92, 104, 66), (120, 120, 82), (142, 124, 98), (58, 68, 46)),
    ((78, 92, 62), (104, 108, 78), (120, 106, 86), (48, 60, 42)),
    ((128, 122, 88), (156, 142, 104), (170, 146, 112), (84, 88, 60)),
    ((100, 108, 84), (134, 128, 104), (128, 108, 90), (66, 76, 58)),
    ((112, 118, 70), (138, 130, 84), (162, 118, 88), (62, 80, 46)),
)
CROPS = (
    (112, 122, 72),
    (146, 136, 96),
    (88, 106, 60),
    (132, 112, 86),
    (160, 150, 108),
    (98, 92, 70),
)
WATER = ((62, 84, 92), (70, 88, 78), (86, 92, 82), (46, 66, 80))
ASPHALT = ((118, 118, 120), (98, 98, 102), (142, 140, 138), (128, 122, 114))
DIRT = (158, 138, 112)


@dataclass(frozen=True)
class Ground:
    rgb: np.ndarray
    """uint8 [H, W, 3], margins included."""
    green: np.ndarray
    """float32 [H, W]: how much of the colour is vegetation, which seasons change."""
    relief: np.ndarray
    """float32 [H, W]: `Plan.relief` at full resolution."""
    leaves: tuple[float, float, float]
    """Colour of crowns."""


def lay_ground(rng: np.random.Generator, plan: Plan) -> Ground:
    side = plan.size + 2 * MARGIN
    shape = (side, side)
    palette = np.array(BIOMES[rng.integers(len(BIOMES))], np.float32)
    palette *= rng.uniform(0.88, 1.1) * (1 + rng.normal(0, 0.03, 3))
    patches = noise.fractal(rng, shape, 48, 3)
    clumps = noise.fractal(rng, shape, 12, 3, 0.75)
    dry = _ramp(patches + 0.5 * clumps, rng.uniform(-0.4, 0.9), 0.8)[..., None]
    bare = _ramp(clumps - 0.7 * patches, rng.uniform(0.9, 1.8), 0.5)[..., None]
    rgb = palette[0] * (1 - dry) + palette[1] * dry
    if plan.settlement in ("rural", "empty") and rng.random() < 0.8:
        rgb = _fields(rng, rgb)
    rgb = rgb * (1 - bare) + palette[2] * bare
    green = (1 - 0.5 * dry - 0.4 * dry * bare - 0.5 * bare)[..., 0]
    relief = cv2.resize(plan.relief, (side, side), interpolation=cv2.INTER_CUBIC)
    if math.isfinite(plan.water):
        rgb, green = _flood_lakes(rng, rgb, green, relief - plan.water)
    rgb *= (1 + 0.05 * clumps + 0.045 * noise.smooth(rng, shape, 2))[..., None]
    painted = np.clip(rgb, 0, 255).astype(np.uint8)
    _pave(rng, painted, green, plan)
    leaves = palette[3] * rng.uniform(0.85, 1.15)
    return Ground(painted, green, relief, tuple(float(value) for value in leaves))


def _ramp(values: np.ndarray, middle: float, width: float) -> np.ndarray:
    return np.clip((values - middle) / width + 0.5, 0, 1)


def _fields(rng: np.random.Generator, rgb: np.ndarray) -> np.ndarray:
    """Crops in a turned grid of plots, each with its own colour and direction of the plough."""
    side = rgb.shape[0]
    angle = rng.uniform(0, math.pi)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    u = x * math.cos(angle) + y * math.sin(angle)
    v = y * math.cos(angle) - x * math.sin(angle)
    long, wide = rng.uniform(90, 200), rng.uniform(60, 130)
    row = np.floor(v / wide).astype(int)
    cell = (np.floor((u + row * 0.37 * long) / long).astype(int) * 7 + row * 13) % 11
    colours = np.array(CROPS, np.float32)[rng.integers(0, len(CROPS), 11)]
    share = np.where(rng.random(11) < 0.65, rng.uniform(0.45, 0.8), 0.0).astype(np.float32)[cell]
    plough = np.where(cell % 2 == 0, u, v) * (2 * math.pi / rng.uniform(4, 7))
    crop = colours[cell] * (1 + 0.05 * np.sin(plough))[..., None]
    return rgb + share[..., None] * (crop - rgb)


def _flood_lakes(
    rng: np.random.Generator, rgb: np.ndarray, green: np.ndarray, above: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    colour = np.array(WATER[rng.integers(len(WATER))], np.float32)
    colour = colour * (1 + 0.02 * noise.smooth(rng, above.shape, 24)[..., None])
    wet = _ramp(-above, 0.0, 0.05)[..., None]
    return rgb * (1 - wet) + colour * wet, green * (1 - wet[..., 0])


def _pave(rng: np.random.Generator, rgb: np.ndarray, green: np.ndarray, plan: Plan) -> None:
    """Streets with a verge, and a footpath's pale edge along some of the paved ones."""
    surface = np.array(ASPHALT[rng.integers(len(ASPHALT))], float)
    kerbed = rng.random() < 0.5
    lines = [(street, fixed(street.points, MARGIN)) for street in plan.streets]
    for street, line in lines:
        verge = (164, 160, 152) if kerbed and street.paved else (132, 122, 102)
        cv2.polylines(rgb, [line], False, verge, round(street.width) + 2, cv2.LINE_AA, SHIFT)
        cv2.polylines(green, [line], False, 0.0, round(street.width) + 2, cv2.LINE_8, SHIFT)
    for street, line in lines:
        colour = tuple((surface if street.paved else np.array(DIRT)) + rng.normal(0, 3, 3))
        cv2.polylines(rgb, [line], False, colour, round(street.width), cv2.LINE_AA, SHIFT)
        if street.paved and street.width > 10.5:
            for start in range(0, len(line) - 1, 2):
                cv2.line(rgb, line[start], line[start + 1], (205, 202, 190), 1, cv2.LINE_AA, SHIFT)

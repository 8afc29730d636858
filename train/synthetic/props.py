"""What stands between the buildings: trees, cars, parking, slabs, ruins and pools."""

from __future__ import annotations

import math

import cv2
import numpy as np

from train.synthetic import noise
from train.synthetic.building import place
from train.synthetic.canvas import SHIFT, Canvas, fixed, sweep
from train.synthetic.ground import Ground
from train.synthetic.plan import Plan, Plot
from train.synthetic.roofs import blend, patch_of
from train.synthetic.wreck import DARK, PLASTER, WOOD

CAR_COLOURS = (
    (228, 228, 228),
    (236, 236, 232),
    (40, 40, 44),
    (70, 72, 78),
    (150, 152, 156),
    (150, 34, 34),
    (44, 66, 128),
    (190, 186, 176),
)


def paint_plot(canvas: Canvas, plot: Plot) -> None:
    """The same in both pictures, whatever the disaster does."""
    patch = patch_of(plot.building, canvas)
    if patch is None:
        return
    rng = np.random.default_rng(plot.building.seed)
    grain = (1 + 0.04 * noise.fractal(rng, patch.shape, 8, 3, 0.8))[..., None]
    if plot.kind == "parking":
        rgb = np.array((112, 112, 114)) * rng.uniform(0.8, 1.2) * grain
        bay = (patch.u % 5.5 < 0.8) & (np.abs(patch.v) % 14 > 3)
        rgb[bay] = rgb[bay] * 0.6 + 80
    elif plot.kind == "pool":
        rgb = np.array((84, 170, 190)) * rng.uniform(0.85, 1.1) * grain
    elif plot.kind == "slab":
        rgb = np.array((178, 172, 162)) * rng.uniform(0.75, 1.15) * grain
        rgb[noise.smooth(rng, patch.shape, 7) > 1.0] *= 0.8
    else:
        pieces = np.concatenate([WOOD[2:], PLASTER[1:], DARK])
        rgb = noise.rubble(rng, patch.shape, pieces)
        lying = patch.inside & (noise.smooth(rng, patch.shape, 5) > -0.7)
        blend(canvas, patch, lying, rgb, 1.0)
        return
    blend(canvas, patch, patch.inside, rgb, 1.0)


def park_cars(rng: np.random.Generator, plan: Plan) -> list[tuple[np.ndarray, float]]:
    """Where cars stand today: centre and heading, along the streets and on the car parks."""
    cars = []
    for street in plan.streets:
        for index in np.flatnonzero(rng.random(len(street.points) - 1) < 0.07):
            start, end = street.points[index], street.points[index + 1]
            forward = (end - start) / max(float(np.hypot(*(end - start))), 1e-9)
            aside = rng.choice([-1, 1]) * (street.width / 2 - 2.2)
            spot = start + aside * np.array([-forward[1], forward[0]])
            cars.append((spot, math.atan2(forward[1], forward[0]) + rng.normal(0, 0.05)))
    for plot in plan.plots:
        if plot.kind != "parking":
            continue
        home, busy = plot.building, rng.uniform(0.1, 0.75)
        for u in np.arange(-home.shape.width / 2 + 3, home.shape.width / 2 - 3, 5.5):
            for v in np.arange(-home.shape.depth / 2 + 5, home.shape.depth / 2 - 4, 14):
                if rng.random() < busy:
                    spot = place(np.array([[u, v]]), home.centre, home.angle)[0]
                    cars.append((spot, home.angle + math.pi / 2))
    for home in plan.buildings:
        if rng.random() < 0.3:
            aside = home.shape.width / 2 + 3.5
            spot = place(np.array([[aside, 0.0]]), home.centre, home.angle)[0]
            cars.append((spot, home.angle + math.pi / 2))
    return cars


def paint_cars(
    rng: np.random.Generator, canvas: Canvas, cars: list[tuple[np.ndarray, float]]
) -> None:
    for spot, heading in cars:
        long, wide = rng.uniform(3.7, 4.6), rng.uniform(1.6, 1.9)
        box = np.array([(-long, -wide), (long, -wide), (long, wide), (-long, wide)])
        canvas.polygon(place(box, spot, heading) + canvas.sun.shadow(1.3), (52, 52, 54))
        canvas.polygon(place(box, spot, heading), CAR_COLOURS[rng.integers(len(CAR_COLOURS))])
        glass = box * (0.2, 0.75) + (long * 0.3, 0)
        canvas.polygon(place(glass, spot, heading), (46, 52, 60))


def shade_trees(canvas: Canvas, shadow: np.ndarray, trees: np.ndarray) -> None:
    """Add the trees' shadows to a uint8 mask."""
    for x, y, radius in trees:
        away = canvas.sun.shadow(radius * 1.1)
        spot = fixed(np.array([x, y]) + away, canvas.margin)
        cv2.circle(shadow, spot.tolist(), int(radius * 15), 255, -1, cv2.LINE_8, SHIFT)


def paint_trees(
    rng: np.random.Generator,
    canvas: Canvas,
    ground: Ground,
    trees: np.ndarray,
    burnt: np.ndarray,
    tint: np.ndarray,
) -> None:
    """Crowns with a dark and a sunny side; `burnt` (bool [T]) ones are black and thin."""
    base = np.array(ground.leaves)
    toward = canvas.sun.toward
    for (x, y, radius), dead in zip(trees, burnt, strict=True):
        spread = rng.uniform(0.8, 1.2)
        if dead:
            dark, radius = np.array((44, 38, 34)) * spread, radius * 0.55
            bright = dark * 1.3
        else:
            dark = base * tint * (0.72 * spread)
            bright = base * tint * (1.12 * spread)
        middle = np.array([x, y])
        for share, colour in ((1.0, dark), (0.72, (dark + bright) / 2), (0.4, bright)):
            # The smaller, the brighter and the nearer to the sun.
            spot = fixed(middle + toward * radius * 0.8 * (1 - share), canvas.margin).tolist()
            size = int(radius * share * 16)
            cv2.circle(canvas.rgb, spot, size, colour.tolist(), -1, cv2.LINE_8, SHIFT)
        spot = fixed(middle, canvas.margin).tolist()
        cv2.circle(canvas.light, spot, int(radius * 16), 1.0, -1, cv2.LINE_8, SHIFT)


def sweep_shadows(
    canvas: Canvas, casters: list[tuple[np.ndarray, float]], trees: np.ndarray
) -> None:
    """Darken what lies in the shadow of rings (with heights in px) and of trees."""
    shadow = np.zeros(canvas.light.shape, np.uint8)
    for ring, height in casters:
        if height > 0:
            sweep(shadow, ring, canvas.sun.shadow(height), canvas.margin)
    shade_trees(canvas, shadow, trees)
    canvas.light *= 1 - (1 - canvas.gloom) / 255 * shadow.astype(np.float32)

"""A tile from its number: plan it, paint it before and after, photograph it twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from runtime.damage import DESTROYED, IGNORE, MAJOR_DAMAGE, MINOR_DAMAGE, NO_DAMAGE
from train.synthetic import noise, photo, props
from train.synthetic.canvas import Canvas
from train.synthetic.ground import Ground, lay_ground
from train.synthetic.photo import View
from train.synthetic.plan import MARGIN, Plan, plan_tile, stream
from train.synthetic.roofs import paint_roof, patch_of
from train.synthetic.wreck import MUD, paint_damage, shadow_height


class LabelledBuilding(NamedTuple):
    uid: str
    polygon: np.ndarray
    """float [K, 2] xy, an open ring on the pre picture."""
    damage: int
    """1..4, or 255 where un-classified."""


@dataclass(frozen=True)
class Scene:
    pre: np.ndarray
    """uint8 [S, S, 3] RGB, as is `post`."""
    post: np.ndarray
    buildings: list[LabelledBuilding]
    disaster: str
    """synthetic-wind, -fire, -flood or -quake."""
    quiet: bool
    """The disaster did not reach this tile."""
    drift: float
    """Largest displacement of the post picture against the polygons, px."""
    pre_view: View
    post_view: View


def make_scene(seed: int, index: int, size: int, settlement: str | None = None) -> Scene:
    """Scene `index` of the endless set `seed`: the same bits whenever it is asked for.

    settlement: of `plan.SETTLEMENTS`; "empty" has no building. None: drawn.
    """
    plan = plan_tile(seed, index, size, settlement)
    ground = lay_ground(stream(seed, index, size, "ground"), plan)
    rng = stream(seed, index, size, "pre")
    pre_view = photo.choose_view(rng)
    pre = photo.develop(rng, _paint(rng, plan, ground, pre_view, after=False), pre_view, None, None)
    rng = stream(seed, index, size, "post")
    post_view = photo.choose_view(rng)
    canvas = _paint(rng, plan, ground, post_view, after=True)
    x, y, drift = photo.misregister(rng, size, MARGIN)
    post = photo.develop(rng, canvas, post_view, (x, y), _clouds(rng, plan))
    together = zip(plan.buildings, plan.outlines, plan.damage, strict=True)
    labels = [LabelledBuilding(b.uid, ring, int(damage)) for b, ring, damage in together]
    disaster = f"synthetic-{plan.event.kind}"
    return Scene(pre, post, labels, disaster, plan.event.quiet, drift, pre_view, post_view)


def _paint(
    rng: np.random.Generator, plan: Plan, ground: Ground, view: View, *, after: bool
) -> Canvas:
    """Ground first, then what lies on it, shadows, crowns, and roofs on top."""
    damage = plan.damage if after else np.full(len(plan.damage), NO_DAMAGE)
    tint = 1 + ground.green[..., None] * (view.season - 1)
    rgb = np.clip(ground.rgb * tint, 0, 255)
    hit = after and not plan.event.quiet
    if hit:
        _strike_ground(rng, plan, ground, rgb)
    canvas = Canvas(
        rgb.astype(np.uint8), np.ones(rgb.shape[:2], np.float32), MARGIN, view.sun, view.gloom
    )
    for plot in plan.plots:
        props.paint_plot(canvas, plot)
    props.paint_cars(rng, canvas, props.park_cars(rng, plan))
    if hit and plan.event.kind == "flood":
        _flood(rng, plan, canvas)
    trees, burnt = plan.trees, np.zeros(len(plan.trees), bool)
    if hit:
        trees, burnt = _surviving_trees(rng, plan)
    casters = [
        (building.ring(), shadow_height(building, state))
        for building, state in zip(plan.buildings, damage, strict=True)
    ]
    props.sweep_shadows(canvas, casters, trees[~burnt])
    props.paint_trees(rng, canvas, ground, trees, burnt, view.season)
    for building, state in zip(plan.buildings, damage, strict=True):
        patch = patch_of(building, canvas)
        if patch is not None and patch.inside.any():
            paint_roof(canvas, building, patch)
            paint_damage(canvas, building, patch, int(state), plan.event.kind, seed=1)
    return canvas


def _strike_ground(rng: np.random.Generator, plan: Plan, ground: Ground, rgb: np.ndarray) -> None:
    """Scorched earth behind a fire; litter and torn turf under wind and quake. In place."""
    strength = plan.event.everywhere()[: rgb.shape[0], : rgb.shape[1]]
    if plan.event.kind == "fire":
        lumps = noise.fractal(rng, strength.shape, 24, 3)
        burnt = np.clip((strength - 0.55) * 3 + 0.35 * lumps, 0, 0.8) * (0.35 + 0.65 * ground.green)
        rgb += burnt[..., None] * (np.array((66, 60, 55)) - rgb)
    elif plan.event.kind == "wind":
        litter = noise.blocks(rng, strength.shape, 2) < 0.035 * np.clip(strength - 0.3, 0, 1)
        rgb[litter] = rgb[litter] * 0.3 + np.array((196, 176, 150)) * 0.7
        rgb += 0.25 * np.clip(strength - 0.3, 0, 0.7)[..., None] * (np.array((138, 122, 98)) - rgb)


def _flood(rng: np.random.Generator, plan: Plan, canvas: Canvas) -> None:
    """Brown water over the low ground; it laps round damaged houses and spares the others."""
    depth = plan.event.everywhere()[: canvas.light.shape[0], : canvas.light.shape[1]].copy()
    wet = (depth > 0.12).astype(np.uint8)
    for building, state in zip(plan.buildings, plan.damage, strict=True):
        reached = state in (MINOR_DAMAGE, MAJOR_DAMAGE, DESTROYED)
        grown = np.rint(building.ring(7 if reached else 4) + MARGIN).astype(np.int32)
        cv2.fillPoly(wet, [grown], int(reached))
    cover = cv2.GaussianBlur(wet.astype(np.float32), (5, 5), 1.0)[..., None] * 0.94
    water = MUD * (1 + 0.035 * noise.fractal(rng, depth.shape, 40, 2))[..., None]
    canvas.rgb[:] = np.clip(canvas.rgb + cover * (water - canvas.rgb), 0, 255).astype(np.uint8)


def _surviving_trees(rng: np.random.Generator, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """The trees that stand after the event, and which of them are burnt."""
    strength = plan.event.strength(plan.trees[:, :2])
    chance = rng.random(len(plan.trees))
    if plan.event.kind == "fire":
        return plan.trees, (strength > 0.6) & (chance < 0.75)
    felled = chance < {"wind": 0.7, "flood": 0.15, "quake": 0.05}[plan.event.kind] * strength
    return plan.trees[~felled], np.zeros(int((~felled).sum()), bool)


def _clouds(rng: np.random.Generator, plan: Plan) -> np.ndarray | None:
    """A puff over each un-classified building: opacity, float32 with margins."""
    hidden = [b for b, state in zip(plan.buildings, plan.damage, strict=True) if state == IGNORE]
    if not hidden:
        return None
    side = plan.size + 2 * MARGIN
    cloud = np.zeros((side, side), np.float32)
    for building in hidden:
        radius = 0.62 * float(np.hypot(building.shape.width, building.shape.depth)) + 4
        spot = np.rint(building.centre + MARGIN).astype(int).tolist()
        cv2.circle(cloud, spot, round(radius), 0.92, -1)
    ragged = 1 + 0.15 * noise.fractal(rng, cloud.shape, 16, 2)
    return np.clip(cv2.GaussianBlur(cloud, (0, 0), 4) * ragged, 0, 0.97)

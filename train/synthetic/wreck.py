"""Damage on one building, painted over its intact roof.

The shares of missing roof leave gaps between the classes: minor 16 to 30 %,
major 48 to 64 %, destroyed all of it.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from runtime.damage import DESTROYED, MAJOR_DAMAGE, MINOR_DAMAGE
from train.synthetic import noise
from train.synthetic.building import Building
from train.synthetic.canvas import Canvas
from train.synthetic.roofs import TARPS, Patch, blend, tarp

MINOR_SHARE = (0.16, 0.30)
MAJOR_SHARE = (0.48, 0.64)

INTERIOR = np.array(((34, 29, 26), (46, 40, 35), (58, 50, 43), (28, 25, 24), (112, 92, 72)))
WOOD = np.array(((198, 166, 132), (214, 178, 146), (168, 132, 102), (150, 116, 90)))
PLASTER = np.array(((212, 207, 198), (186, 180, 171), (164, 158, 149)))
DUST = np.array(((150, 142, 132), (134, 126, 116)))
DARK = np.array(((62, 56, 50), (86, 76, 66)))
ASH = np.array(((52, 50, 49), (64, 61, 59), (80, 77, 75), (44, 42, 41), (100, 97, 94)))
PALE_ASH = np.array(((146, 143, 139), (172, 169, 165)))
MUD = np.array((128.0, 106.0, 78.0))


def shadow_height(building: Building, damage: int) -> float:
    """What is left to cast a shadow, px."""
    return building.look.height * {MAJOR_DAMAGE: 0.6, DESTROYED: 0.0}.get(damage, 1.0)


def paint_damage(
    canvas: Canvas, building: Building, patch: Patch, damage: int, kind: str, seed: int
) -> None:
    """Turn the painted roof of a building into class `damage`, as an event of `kind` does."""
    rng = np.random.default_rng([building.seed, seed])
    if damage == MINOR_DAMAGE:
        _minor(rng, canvas, building, patch, kind)
    elif damage == MAJOR_DAMAGE:
        _major(rng, canvas, building, patch, kind)
    elif damage == DESTROYED:
        _destroyed(rng, canvas, building, patch, kind)


def _minor(
    rng: np.random.Generator, canvas: Canvas, building: Building, patch: Patch, kind: str
) -> None:
    share = rng.uniform(*MINOR_SHARE)
    if kind == "flood":
        _silt(rng, canvas, patch, _missing(rng, patch, share, 0.8))
        return
    if kind != "fire" and rng.random() < 0.45:
        cover = tarp(rng, patch, building, share + 0.1)
        folds = 1 + 0.07 * noise.smooth(rng, patch.shape, 3)[..., None]
        sheet = np.array(TARPS[rng.integers(len(TARPS) - 1)], np.float32) * folds
        blend(canvas, patch, cover, sheet, 1.0)
        return
    hole = _missing(rng, patch, share, 0.3)
    rim = cv2.dilate(hole.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & patch.inside
    edge = ASH[:3] if kind == "fire" else WOOD
    blend(canvas, patch, rim & ~hole, noise.rubble(rng, patch.shape, edge), 1.0)
    blend(canvas, patch, hole, noise.rubble(rng, patch.shape, INTERIOR, 3), 0.9)
    _scatter(rng, canvas, patch, _pieces(building, kind), 0.25, 2.5)


def _major(
    rng: np.random.Generator, canvas: Canvas, building: Building, patch: Patch, kind: str
) -> None:
    """One end has caved in: dark rooms between standing walls, debris in them and outside."""
    gone = _missing(rng, patch, rng.uniform(*MAJOR_SHARE), 1.6)
    if kind == "flood":
        _silt(rng, canvas, patch, gone)
        blend(canvas, patch, _walls(rng, patch, gone), _plain(patch, (196, 186, 170)), 1.0)
        _scatter(rng, canvas, patch, _pieces(building, kind), 0.3, 4.0)
        return
    rooms = noise.rubble(rng, patch.shape, INTERIOR, 3)
    debris = noise.blocks(rng, patch.shape, 2) < 0.24
    rooms[debris] = noise.rubble(rng, patch.shape, _pieces(building, kind))[debris]
    blend(canvas, patch, gone, rooms, 0.95)
    wall = (92, 88, 84) if kind == "fire" else (206, 196, 182)
    blend(canvas, patch, _walls(rng, patch, gone), _plain(patch, wall), 1.05)
    _scatter(rng, canvas, patch, _pieces(building, kind), 0.5, 4.0)


def _destroyed(
    rng: np.random.Generator, canvas: Canvas, building: Building, patch: Patch, kind: str
) -> None:
    if kind == "fire":
        _burn(rng, canvas, patch)
    elif rng.random() < {"wind": 0.22, "flood": 0.5, "quake": 0.0}[kind]:
        _sweep(rng, canvas, building, patch, kind)
    else:
        pile = noise.rubble(rng, patch.shape, _pieces(building, kind))
        _erase_edge(rng, canvas, patch, np.array((150, 138, 122)))
        ragged = patch.inside & (noise.smooth(rng, patch.shape, 4) > -1.1)
        blend(canvas, patch, ragged, pile, 1.0)
        _scatter(rng, canvas, patch, _pieces(building, kind), 0.85, 5.0)


def _burn(rng: np.random.Generator, canvas: Canvas, patch: Patch) -> None:
    """Ash in the footprint, pale where it burnt through, with stumps of walls."""
    ash = noise.rubble(rng, patch.shape, ASH)
    pale = noise.smooth(rng, patch.shape, 4) > 0.9
    ash[pale] = noise.rubble(rng, patch.shape, PALE_ASH)[pale]
    blend(canvas, patch, patch.inside, ash, 1.0)
    stumps = _walls(rng, patch, patch.inside) & (noise.blocks(rng, patch.shape, 4) < 0.45)
    blend(canvas, patch, stumps, _plain(patch, (142, 138, 134)), 1.0)
    _scatter(rng, canvas, patch, ASH, 0.6, 3.5)


def _sweep(
    rng: np.random.Generator, canvas: Canvas, building: Building, patch: Patch, kind: str
) -> None:
    """A bare slab, and what stood on it strewn about."""
    tone = np.array((176, 170, 160), np.float32) * rng.uniform(0.85, 1.1)
    slab = tone * (1 + 0.06 * noise.fractal(rng, patch.shape, 8, 3))[..., None]
    dirt = noise.smooth(rng, patch.shape, 6) > 0.8
    slab[dirt] = slab[dirt] * 0.4 + (MUD if kind == "flood" else np.array((128, 112, 92))) * 0.6
    blend(canvas, patch, patch.inside, slab, 1.0)
    rest = patch.inside & (noise.blocks(rng, patch.shape, 2) < 0.12)
    blend(canvas, patch, rest, noise.rubble(rng, patch.shape, _pieces(building, kind)), 1.0)
    _scatter(rng, canvas, patch, _pieces(building, kind), 0.7, 6.0)


def _silt(rng: np.random.Generator, canvas: Canvas, patch: Patch, where: np.ndarray) -> None:
    mud = MUD * (1 + 0.06 * noise.fractal(rng, patch.shape, 6, 2))[..., None]
    mud[noise.blocks(rng, patch.shape, 2) < 0.06] = WOOD[0]
    blend(canvas, patch, where, mud, 0.95)


def _missing(rng: np.random.Generator, patch: Patch, share: float, slant: float) -> np.ndarray:
    """Exactly `share` of the roof, in lumps that gather towards one side by `slant`."""
    field = noise.fractal(rng, patch.shape, 7, 2)
    angle = rng.uniform(0, 2 * math.pi)
    reach = max(float(np.abs(patch.u[patch.inside]).max(initial=1.0)), 1.0)
    field += slant * (patch.u * math.cos(angle) + patch.v * math.sin(angle)) / (0.6 * reach)
    if not patch.inside.any():
        return patch.inside
    return patch.inside & (field > np.quantile(field[patch.inside], 1 - share))


def _walls(rng: np.random.Generator, patch: Patch, gone: np.ndarray) -> np.ndarray:
    """Outer and a few inner walls that stand where the roof is gone."""
    depth = cv2.distanceTransform(patch.inside.astype(np.uint8), cv2.DIST_L2, 3)
    spacing = rng.uniform(8, 12)
    inner = ((patch.u + rng.uniform(0, 9)) % spacing < 1.1) | (
        (patch.v + rng.uniform(0, 9)) % spacing < 1.1
    )
    standing = noise.blocks(rng, patch.shape, 5) < 0.85
    return gone & ((depth <= 1.5) | inner) & standing


def _scatter(
    rng: np.random.Generator,
    canvas: Canvas,
    patch: Patch,
    pieces: np.ndarray,
    density: float,
    reach: float,
) -> None:
    """Debris around the footprint: `density` at its edge, fading over `reach` px."""
    away = cv2.distanceTransform((~patch.inside).astype(np.uint8), cv2.DIST_L2, 3)
    lumps = np.clip(1 + 0.5 * noise.smooth(rng, patch.shape, 8), 0.1, 2)
    chance = density * lumps * np.exp(-away / reach)
    # Rubble does not stop at the border of a patch in a straight line.
    chance[away > 12] = 0
    fallen = (noise.blocks(rng, patch.shape, 2) < chance) & ~patch.inside
    blend(canvas, patch, fallen, noise.rubble(rng, patch.shape, pieces, 2), 1.0)


def _erase_edge(rng: np.random.Generator, canvas: Canvas, patch: Patch, tone: np.ndarray) -> None:
    """Dust under the rubble, so that no rim of the roof shows through it."""
    dust = tone * (1 + 0.08 * noise.fractal(rng, patch.shape, 5, 2))[..., None]
    blend(canvas, patch, patch.inside, dust, 1.0)


def _pieces(building: Building, kind: str) -> np.ndarray:
    """Colours of what the building breaks into: float [P, 3]."""
    roof = np.array(building.look.colour)[None]
    if kind == "fire":
        return np.concatenate([ASH, PALE_ASH])
    if kind == "quake":
        return np.concatenate([PLASTER, DUST, DUST, WOOD[2:], DARK[1:], roof])
    return np.concatenate([WOOD, PLASTER[:2], DARK, roof])


def _plain(patch: Patch, colour: tuple[int, int, int]) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.float32), (*patch.shape, 3))

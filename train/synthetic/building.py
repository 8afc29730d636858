"""A building: where it stands, what it looks like and what happens to it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from train.synthetic import footprints
from train.synthetic.footprints import Shape

ROOF_COLOURS = (
    (172, 96, 70),
    (150, 74, 58),
    (190, 128, 96),
    (84, 84, 88),
    (112, 110, 108),
    (146, 144, 142),
    (188, 188, 186),
    (216, 214, 208),
    (92, 112, 146),
    (98, 116, 94),
    (182, 162, 132),
    (116, 88, 68),
    (66, 60, 58),
)
FLAT_COLOURS = ((196, 194, 190), (168, 164, 158), (130, 128, 126), (214, 212, 208), (104, 100, 98))

MIX = {
    "grid": {"house": 0.56, "villa": 0.26, "block": 0.12, "shed": 0.06},
    "curved": {"house": 0.56, "villa": 0.32, "block": 0.05, "shed": 0.07},
    "industrial": {"hall": 0.42, "block": 0.34, "house": 0.12, "shed": 0.12},
    "rural": {"house": 0.34, "villa": 0.28, "hall": 0.16, "shed": 0.22},
}
"""How often each type of building stands in each kind of settlement."""

FLAT_SHARE = {"house": 0.12, "villa": 0.1, "shed": 0.5, "block": 0.8, "hall": 0.6}


@dataclass(frozen=True)
class Look:
    """What is the same in both pictures."""

    roof: str
    """gable, hip or flat."""
    colour: tuple[float, float, float]
    pitch: float
    """Slope of the roof, radians."""
    height: float
    """Of the eaves, px: the length of the shadow under a sun at 45 degrees."""
    patina: float
    """How motley the roof is: the std of its stains as a share of its colour."""
    scar: str
    """Old damage that both pictures show and no label counts: "", tarp or patches."""


@dataclass(frozen=True)
class Building:
    uid: str
    shape: Shape
    centre: np.ndarray
    angle: float
    look: Look
    seed: int
    """Of its textures, so that both pictures show the same roof."""

    def ring(self, grow: float = 0.0) -> np.ndarray:
        """The outline in tile coordinates; `grow` px wider and deeper on each side."""
        scale = 1 + 2 * grow / np.array([self.shape.width, self.shape.depth])
        return place(self.shape.outline * scale, self.centre, self.angle)

    def box(self, grow: float) -> np.ndarray:
        """The bounding rectangle of the shape, grown, in tile coordinates: float [4, 2]."""
        half = np.array([self.shape.width, self.shape.depth]) / 2 + grow
        corners = half * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
        return place(corners, self.centre, self.angle)


def place(points: np.ndarray, centre: np.ndarray, angle: float) -> np.ndarray:
    """Local uv to tile xy."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return points @ np.array([[cosine, sine], [-sine, cosine]]) + centre


def draw_shape(rng: np.random.Generator, kind: str, size: int) -> tuple[str, Shape]:
    """A type of building that suits the settlement, and a shape for it."""
    mix = MIX[kind]
    name = str(rng.choice(list(mix), p=list(mix.values())))
    if name == "house":
        return name, footprints.rectangle(rng.uniform(15, 25), rng.uniform(12, 18))
    if name == "shed":
        return name, footprints.rectangle(rng.uniform(7, 12), rng.uniform(6.5, 10))
    if name == "villa":
        return name, footprints.winged(rng, rng.uniform(24, 38), rng.uniform(20, 29))
    if name == "block":
        width, depth = rng.uniform(28, 54), rng.uniform(18, 29)
    elif size >= 512:
        width, depth = rng.uniform(55, 100), rng.uniform(38, 70)
    else:
        width, depth = rng.uniform(38, 62), rng.uniform(28, 46)
    wings = rng.random() < 0.35
    return name, footprints.winged(rng, width, depth) if wings else footprints.rectangle(
        width, depth
    )


def draw_look(rng: np.random.Generator, name: str, rural: bool) -> Look:
    flat = rng.random() < FLAT_SHARE[name]
    palette = FLAT_COLOURS if flat and rng.random() < 0.75 else ROOF_COLOURS
    base = np.array(palette[rng.integers(len(palette))], float)
    base += 0.15 * (base.mean() - base)
    colour = np.clip(base * rng.uniform(0.82, 1.04) + rng.normal(0, 5, 3), 40, 225)
    low, high = {"shed": (2.5, 4), "house": (5, 8), "villa": (6, 9)}.get(name, (8, 15))
    motley = rng.random() < (0.3 if rural else 0.16)
    scar = str(rng.choice(["", "tarp", "patches"], p=[0.94, 0.025, 0.035]))
    return Look(
        roof="flat" if flat else str(rng.choice(["gable", "hip"])),
        colour=(float(colour[0]), float(colour[1]), float(colour[2])),
        pitch=rng.uniform(0.12, 0.25) if name == "hall" else rng.uniform(0.35, 0.62),
        height=rng.uniform(low, high),
        patina=rng.uniform(0.12, 0.2) if motley else rng.uniform(0.02, 0.07),
        # Sheds are too small for a scar to be seen as one.
        scar="" if name == "shed" else scar,
    )

"""The damage class of a building: its pixels vote, each with its confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from runtime.buildings.outlines import Outline
from runtime.damage import BACKGROUND, CLASS_NAMES, DAMAGE_CLASSES, NODATA


@dataclass(frozen=True, eq=False)
class Building:
    """Pixels whose damage is 1..4: a 4-connected component, or a part of one.

    Attributes:
        damage_class: 1..4, the class with the largest sum of confidence over the building's
            pixels; of equal sums, the more severe.
        confidence: mean probability, 0..1, of the pixels that voted for `damage_class`.
        area_px: all pixels of the building.
        shares: part of the area per class name; they sum to 1.
        rings: exterior ring, then holes: each [K,2] corners (x, y), the first not repeated; pixel
            (x, y) covers x..x+1 and y..y+1. int32 if they are exact, on the pixel grid; else
            float64, in 64ths of a pixel.
        cut: what cuts it, one of `marks.CUTS`: the scene's border, pixels that were not computed.
        told: further fields, see `witnesses.Witnesses`.
    """

    damage_class: int
    confidence: float
    area_px: int
    shares: Mapping[str, float]
    rings: tuple[Outline, ...]
    cut: str = ""
    told: Mapping[str, str | float] = field(default_factory=dict)

    @property
    def damage(self) -> str:
        """Name of `damage_class`."""
        return CLASS_NAMES[self.damage_class]


def building_pixels(damage: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1 where the damage is that of a building, else 0; of the same shape."""
    return ((damage > BACKGROUND) & (damage <= DAMAGE_CLASSES[-1])).view(np.uint8)


def count_votes(
    labels: NDArray[np.int32],
    count: int,
    damage: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels, and the sum of their confidence, per component and damage class: [count,4].

    labels: [H,W], below count; above 0 only where the damage is that of a building.
    Both add up: the votes of a building in pieces are the sums of the pieces'.
    """
    inside = labels > 0
    classes = len(DAMAGE_CLASSES)
    cells = labels[inside].astype(np.int64) * classes + (damage[inside] - DAMAGE_CLASSES[0])
    size = count * classes
    pixels = np.bincount(cells, minlength=size)
    # float64 sums of whole numbers below 2**53 are exact.
    votes = np.bincount(cells, weights=confidence[inside], minlength=size).astype(np.int64)
    return pixels.astype(np.int64).reshape(count, classes), votes.reshape(count, classes)


def judge(pixels: Sequence[int], votes: Sequence[int]) -> tuple[int, float]:
    """Damage class and confidence of a building, by its pixels and votes per damage class.

    At least one class must have a pixel; one without cannot win, even where every
    confidence is 0.
    """
    _, winner = max(
        (vote, each)
        for each, vote, number in zip(DAMAGE_CLASSES, votes, pixels, strict=True)
        if number
    )
    column = winner - DAMAGE_CLASSES[0]
    return winner, votes[column] / pixels[column] / 255


def judge_each(
    pixels: NDArray[np.int64], votes: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """What `judge` says of each of many, [N] of [N,4]; NODATA and NaN of one without a pixel."""
    voted = np.where(pixels > 0, votes, -1)
    last = voted.shape[1] - 1
    column = last - voted[:, ::-1].argmax(axis=1)  # of equal sums, the more severe
    row = np.arange(len(voted))
    there = pixels[row, column] > 0
    winner = np.where(there, column + DAMAGE_CLASSES[0], NODATA).astype(np.uint8)
    mean = np.full(len(voted), np.nan)
    np.divide(votes[row, column], pixels[row, column], out=mean, where=there)
    return winner, mean / 255


def building_of(
    pixels: Sequence[int], votes: Sequence[int], outline: tuple[Outline, ...], cut: str = ""
) -> Building:
    """A building by its pixels and votes per damage class."""
    damage_class, confidence = judge(pixels, votes)
    area = sum(pixels)
    return Building(
        damage_class=damage_class,
        confidence=confidence,
        area_px=area,
        shares={
            CLASS_NAMES[each]: number / area
            for each, number in zip(DAMAGE_CLASSES, pixels, strict=True)
        },
        rings=outline,
        cut=cut,
    )

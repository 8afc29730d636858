"""Haze and cloud shadows over an image from above.

albumentations' RandomFog and RandomShadow are made for a camera in the street: balls of fog, and
polygons with sharp edges, as a building's shadow has. From orbit haze is a veil, and the shadow
of a cloud 1 to 2 km up has a rim of 9 to 19 m, for the sun is 0.53 degrees wide.
"""

from __future__ import annotations

from typing import Any

import albumentations as A
import cv2
import numpy as np

from train.conditions import WeatherLevel

AIRLIGHT = 230
"""Grey value of haze that nothing is seen through."""
_CELLS = 4
"""A crop is a few hundred metres wide: clouds have about its size."""
_COVER = (0.3, 0.7)
"""Of the field's values 0..1: where a cloud may begin."""
_RIM = 0.15
"""Of the field's values, from full light to full shadow."""


def weather(level: WeatherLevel) -> list[A.BasicTransform]:
    """The changes that the level names, the one nearest to the ground first."""
    changes: list[A.BasicTransform] = []
    if level.shadow:
        changes.append(CloudShadow(level.shadow, p=level.chance))
    if level.haze:
        changes.append(Haze(level.haze, p=level.chance))
    return changes


class Haze(A.ImageOnlyTransform):
    """Koschmieder's law: ground x (1 - share) + airlight x share, in uint8 [H, W, 3].

    The share varies over the image between 0 and one drawn from 0..`most`.
    """

    def __init__(self, most: float, p: float) -> None:
        super().__init__(p=p)
        self.most = most

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        share = self.random_generator.uniform(0, self.most)
        return {"share": share * _field(self.random_generator, params["shape"])}

    def apply(self, img: np.ndarray, share: np.ndarray, **params: Any) -> np.ndarray:
        share = share[..., None]
        return np.rint(img * (1 - share) + AIRLIGHT * share).astype(np.uint8)


class CloudShadow(A.ImageOnlyTransform):
    """Light x (1 - depth) under a cloud, in uint8 [H, W, 3]; the depth is drawn from 0..`most`."""

    def __init__(self, most: float, p: float) -> None:
        super().__init__(p=p)
        self.most = most

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        depth = self.random_generator.uniform(0, self.most)
        begin = self.random_generator.uniform(*_COVER)
        field = _field(self.random_generator, params["shape"])
        return {"light": 1 - depth * np.clip((field - begin) / _RIM, 0, 1)}

    def apply(self, img: np.ndarray, light: np.ndarray, **params: Any) -> np.ndarray:
        return np.rint(img * light[..., None]).astype(np.uint8)


def _field(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """float32 [H, W], smooth, in 0..1 with a mean of 0.5 over many draws."""
    cells = random.random((_CELLS, _CELLS), np.float32)
    return cv2.resize(cells, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)

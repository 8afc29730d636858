"""Random changes of a training pair that leave its truth true."""

from __future__ import annotations

import os

import cv2
import numpy as np

# albumentations asks its publisher for news on import; training works without a network.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
import albumentations as A

from runtime.damage import NO_DAMAGE
from train.config import AugmentLevel

Sample = dict[str, np.ndarray]
"""pre, post: uint8 [H, W, 3] RGB; building, damage: uint8 [H, W]."""


class PairAugmentation:
    """Shared geometry for both images and both targets; own photometry for each image.

    The zoom of the level is the crop's concern.
    """

    def __init__(self, level: AugmentLevel) -> None:
        self.level = level
        self.geometry = A.Compose(
            [A.D4(p=1.0)] if level.geometry else [],
            additional_targets={"post": "image", "building": "mask", "damage": "mask"},
        )
        self.photometry = A.Compose(_photometry(level))

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        """A changed sample; `sample` stays as it was. All chance comes from `random`."""
        if self.level.unchanged and random.random() < self.level.unchanged:
            sample = unchanged(sample)
        pre, post = sample["pre"], sample["post"]
        if self.level.shift:
            dx, dy = random.integers(-self.level.shift, self.level.shift + 1, 2)
            post = _shift(post, int(dx), int(dy))
        self.geometry.set_random_seed(int(random.integers(2**31)))
        moved = self.geometry(
            image=pre, post=post, building=sample["building"], damage=sample["damage"]
        )
        changed = {"building": moved["building"], "damage": moved["damage"]}
        for name, image in (("pre", moved["image"]), ("post", moved["post"])):
            self.photometry.set_random_seed(int(random.integers(2**31)))
            changed[name] = self.photometry(image=image)["image"]
        return changed


def unchanged(sample: Sample) -> Sample:
    """The pair as if nothing had happened: each image's own photometry is all that differs.

    Where few places are shown both whole and struck, a network learns to tell the place instead
    of the damage; this shows each of its buildings whole.
    """
    return {**sample, "post": sample["pre"], "damage": sample["building"] * NO_DAMAGE}


def _photometry(level: AugmentLevel) -> list[A.BasicTransform | A.BaseCompose]:
    changes: list[A.BasicTransform | A.BaseCompose] = []
    if level.photometry:
        limit = level.photometry
        changes.append(A.RandomBrightnessContrast(limit, limit, p=0.8))
    if level.colour:
        # Hue turns by up to that share of half the circle (OpenCV's 90), saturation moves by
        # up to that share of its range.
        changes.append(A.HueSaturationValue(90 * level.colour, 255 * level.colour, 0, p=0.8))
    if level.degrade:
        kinds = [A.GaussianBlur(blur_limit=(3, 5)), A.GaussNoise(std_range=(0.01, 0.04))]
        changes.append(A.OneOf(kinds, p=level.degrade))
    return changes


def _shift(image: np.ndarray, dx: int, dy: int) -> np.ndarray:
    """The image moved right and down; what comes in is its reflection."""
    height, width = image.shape[:2]
    top, left = max(dy, 0), max(dx, 0)
    framed = cv2.copyMakeBorder(image, top, max(-dy, 0), left, max(-dx, 0), cv2.BORDER_REFLECT_101)
    return framed[max(-dy, 0) :, max(-dx, 0) :][:height, :width]

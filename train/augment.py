"""Random changes of a training pair that leave its truth true."""

from __future__ import annotations

import albumentations as A
import cv2
import numpy as np

from runtime.damage import NO_DAMAGE
from train.levels import AugmentLevel
from train.sensor import noise, optics, processing
from train.weather import weather

Sample = dict[str, np.ndarray]
"""pre, post: uint8 [H, W, 3] RGB; building, damage: uint8 [H, W]."""


class PairAugmentation:
    """Shared geometry for both images and both targets; own photometry, weather and sensor for
    each image.

    The post image alone is moved and sheared: footprints lie on the pre image, and so does the
    truth. The zoom of the level is the crop's concern.
    """

    def __init__(self, level: AugmentLevel) -> None:
        self.level = level
        self.geometry = A.Compose(
            [A.D4(p=1.0)] if level.geometry else [],
            additional_targets={"post": "image", "building": "mask", "damage": "mask"},
        )
        self.off_nadir = A.Compose(_shear(level.off_nadir) if level.off_nadir else [])
        self.photometry = A.Compose(_photometry(level))
        self.weather = A.Compose(weather(level.weather))
        self.sensor = [A.Compose(step(level.sensor)) for step in (optics, noise, processing)]

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        """A changed sample; `sample` stays as it was. All chance comes from `random`."""
        if self.level.unchanged and random.random() < self.level.unchanged:
            sample = unchanged(sample)
        pre, post = sample["pre"], sample["post"]
        if self.level.shift:
            dx, dy = random.integers(-self.level.shift, self.level.shift + 1, 2)
            post = _shift(post, int(dx), int(dy))
        if self.level.off_nadir:
            post = _changed(self.off_nadir, post, _seed(random))
        self.geometry.set_random_seed(_seed(random))
        moved = self.geometry(
            image=pre, post=post, building=sample["building"], damage=sample["damage"]
        )
        images = [moved["image"], moved["post"]]
        if self.level.weather.named:  # what is off draws nothing: it leaves the rest as it is
            images = [_changed(self.weather, image, _seed(random)) for image in images]
        images = [_changed(self.photometry, image, _seed(random)) for image in images]
        if self.level.sensor.named:
            images = self._sense(images, random)
        pre, post = images
        return {"building": moved["building"], "damage": moved["damage"], "pre": pre, "post": post}

    def _sense(self, images: list[np.ndarray], random: np.random.Generator) -> list[np.ndarray]:
        """Through a sensor each, or both through one."""
        seeds = random.integers(2**31, size=(len(self.sensor), len(images)))
        if random.random() < self.level.sensor.shared:
            seeds[[0, 2], 1] = seeds[[0, 2], 0]  # no two images have the same noise
        for step, row in zip(self.sensor, seeds, strict=True):
            images = [_changed(step, image, int(s)) for image, s in zip(images, row, strict=True)]
        return images


def _changed(changes: A.Compose, image: np.ndarray, seed: int) -> np.ndarray:
    changes.set_random_seed(seed)
    return changes(image=image)["image"]


def _seed(random: np.random.Generator) -> int:
    return int(random.integers(2**31))


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


def _shear(degrees: float) -> list[A.BasicTransform]:
    """About the image's centre, along both axes; what comes in is the image's reflection."""
    angles = {"x": (-degrees, degrees), "y": (-degrees, degrees)}
    return [A.Affine(shear=angles, border_mode=cv2.BORDER_REFLECT_101, p=1.0)]

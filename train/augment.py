"""Random changes of a training pair that leave its truth true."""

from __future__ import annotations

import os

import cv2
import numpy as np

# albumentations asks its publisher for news on import; training works without a network.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
import albumentations as A

from train.config import AugmentConfig


class PairAugmentation:
    """Shared geometry for both images and both targets; own photometry for each image."""

    def __init__(self, config: AugmentConfig) -> None:
        self.config = config
        self.geometry = A.Compose(
            [A.D4(p=1.0)],
            additional_targets={"post": "image", "building": "mask", "damage": "mask"},
        )
        limit = config.photometry
        self.photometry = A.Compose(
            [A.RandomBrightnessContrast(brightness_limit=limit, contrast_limit=limit, p=0.8)]
        )

    def __call__(
        self, sample: dict[str, np.ndarray], random: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Augment `pre`, `post` (uint8 [H, W, 3]) and `building`, `damage` (uint8 [H, W])."""
        if self.config.shift:
            dx, dy = random.integers(-self.config.shift, self.config.shift + 1, 2)
            sample["post"] = _shift(sample["post"], int(dx), int(dy))
        if self.config.geometry:
            self.geometry.set_random_seed(int(random.integers(2**31)))
            moved = self.geometry(
                image=sample["pre"],
                post=sample["post"],
                building=sample["building"],
                damage=sample["damage"],
            )
            sample = {
                "pre": moved["image"],
                **{k: moved[k] for k in ("post", "building", "damage")},
            }
        if self.config.photometry:
            for name in ("pre", "post"):
                self.photometry.set_random_seed(int(random.integers(2**31)))
                sample[name] = self.photometry(image=sample[name])["image"]
        return sample


def _shift(image: np.ndarray, dx: int, dy: int) -> np.ndarray:
    height, width = image.shape[:2]
    move = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    return cv2.warpAffine(image, move, (width, height), borderMode=cv2.BORDER_REFLECT_101)

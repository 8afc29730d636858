"""A sensor's changes of an image, in the order in which light and data go through it."""

from __future__ import annotations

import math
from typing import Any

import albumentations as A
import cv2
import numpy as np

from train.conditions import SensorLevel


def optics(level: SensorLevel) -> list[A.BasicTransform]:
    """What happens before the detector: exposure, blur, and the size of its pixels.

    Gain is a factor, as exposure and sunlight are; RandomBrightnessContrast's brightness is added
    to every value, and would lift black ground. MultiplicativeNoise draws the factor evenly, and
    so darkens less often the darker it may be.
    """
    p = level.chance
    changes: list[A.BasicTransform] = []
    if level.gain:
        changes.append(Exposure(level.gain, p=p))
    if level.blur:
        changes.append(A.GaussianBlur(sigma_limit=level.blur, p=p))
    if level.resolution:
        finest, coarsest = level.resolution
        # Each pixel of the coarser sensor sees the mean of its area.
        how = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR}
        changes.append(A.Downscale((1 / coarsest, 1 / finest), how, p=p))
    return changes


def noise(level: SensorLevel) -> list[A.BasicTransform]:
    """What the detector adds. ISONoise is not used: its noise has a mean, and so brightens."""
    return [A.GaussNoise(level.noise, p=level.chance)] if level.noise else []


def processing(level: SensorLevel) -> list[A.BasicTransform]:
    """What is made of the values, and what compression leaves of them."""
    p = level.chance
    changes: list[A.BasicTransform] = []
    if level.contrast:
        one = (1.0, 1.0)
        changes.append(A.ColorJitter(one, level.contrast, one, (0.0, 0.0), p=p))
    if level.gamma:
        lowest, highest = level.gamma
        changes.append(A.RandomGamma((100 * lowest, 100 * highest), p=p))
    if level.jpeg:
        changes.append(Jpeg(level.jpeg, p=p))
    return changes


class Exposure(A.ImageOnlyTransform):
    """All values times a factor whose logarithm is drawn evenly: half the light is as likely as
    twice the light."""

    def __init__(self, gain: tuple[float, float], p: float) -> None:
        super().__init__(p=p)
        self.gain = gain

    def get_params(self) -> dict[str, Any]:
        return {"factor": math.exp(self.py_random.uniform(*map(math.log, self.gain)))}

    def apply(self, img: np.ndarray, factor: float, **params: Any) -> np.ndarray:
        return cv2.convertScaleAbs(img, alpha=factor)


class Jpeg(A.ImageOnlyTransform):
    """Through libjpeg at a quality drawn from a range, chroma at half the resolution (4:2:0).

    A.ImageCompression hands RGB to OpenCV's encoder, which takes BGR: luminance then weighs blue
    as red, and the result is as far from a real JPEG as that is from the image.
    """

    def __init__(self, quality: tuple[int, int], p: float) -> None:
        super().__init__(p=p)
        self.quality = quality

    def get_params(self) -> dict[str, Any]:
        return {"quality": self.py_random.randint(*self.quality)}

    def apply(self, img: np.ndarray, quality: int, **params: Any) -> np.ndarray:
        bgr = cv2.cvtColor(img, cv2.COLOR_RGB2BGR)
        _, content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return cv2.cvtColor(cv2.imdecode(content, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

"""The picture a satellite takes: light, haze, colour cast, blur, drift, noise, compression."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from train.synthetic import noise
from train.synthetic.canvas import Canvas, Sun


@dataclass(frozen=True)
class View:
    """One pass of the satellite."""

    sun: Sun
    gloom: float
    season: np.ndarray
    """Factors on the colour of vegetation: float32 [3]."""
    gain: np.ndarray
    """Colour cast and exposure: float32 [3]."""
    haze: float
    blur: float
    grain: float
    quality: int


def choose_view(rng: np.random.Generator) -> View:
    warm = rng.normal(0, 0.035)
    dryness = rng.uniform(-0.06, 0.16)
    return View(
        sun=Sun(float(rng.uniform(95, 215)), float(rng.uniform(36, 68))),
        gloom=rng.uniform(0.36, 0.52),
        season=np.array([1 + dryness, 1 + dryness * 0.4, 1 - dryness * 0.5], np.float32),
        gain=(rng.uniform(0.86, 1.16) * np.array([1 + warm, 1, 1 - warm])).astype(np.float32),
        haze=float(rng.uniform(0.0, 0.16)),
        blur=rng.uniform(0.5, 0.8),
        grain=rng.uniform(1.0, 3.0),
        quality=int(rng.integers(82, 97)),
    )


def develop(
    rng: np.random.Generator,
    canvas: Canvas,
    view: View,
    drift: tuple[np.ndarray, np.ndarray] | None,
    cloud: np.ndarray | None,
) -> np.ndarray:
    """uint8 [S, S, 3] RGB of the tile. `drift` holds x and y displacements, `cloud` an opacity."""
    scene = canvas.rgb.astype(np.float32) * (canvas.light[..., None] * view.gain)
    veil = view.haze * np.clip(1 + 0.4 * noise.smooth(rng, canvas.light.shape, 96), 0.2, 2)
    if cloud is not None:
        veil = np.maximum(veil, cloud)
    scene += veil[..., None] * (np.array((196, 202, 210), np.float32) - scene)
    scene = cv2.GaussianBlur(scene, (5, 5), view.blur)
    inner = slice(canvas.margin, -canvas.margin)
    if drift is None:
        scene = scene[inner, inner]
    else:
        x, y = drift
        scene = cv2.remap(scene, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    scene += view.grain * rng.standard_normal(scene.shape[:2], dtype=np.float32)[..., None]
    return _compress(np.clip(np.rint(scene), 0, 255).astype(np.uint8), view.quality)


def misregister(
    rng: np.random.Generator, size: int, margin: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Where each px of the post picture looks on the canvas, and the largest drift in px.

    A shift, and a slow bend as terrain leaves it; together below 3 px at size
    256 and below 5 px at 1024.
    """
    limit = 2.2 + size / 400
    angle, length = rng.uniform(0, 2 * np.pi), limit * rng.uniform(0.1, 0.8)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    most = 0.14 * limit
    bend = [np.clip(0.1 * limit * noise.smooth(rng, x.shape, 128), -most, most) for _ in "xy"]
    dx = np.float32(length * np.cos(angle)) + bend[0]
    dy = np.float32(length * np.sin(angle)) + bend[1]
    return x + margin + dx, y + margin + dy, float(np.hypot(dx, dy).max())


def _compress(rgb: np.ndarray, quality: int) -> np.ndarray:
    """The traces that lossy compression leaves in delivered imagery."""
    _, packed = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1])

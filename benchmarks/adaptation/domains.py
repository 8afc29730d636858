"""Places that a network has not seen: a disaster of another kind, another sensor's colours."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from runtime.files import replacing_folder
from train.synthetic.labels import label, stem
from train.synthetic.scene import make_scene

SEED = 77
"""Of scenes: no tile of the world that is trained on."""

GAMMA = (0.6, 0.8, 1.3)
"""Of red, green and blue: another sensor's colours, after which a sixth of contrast is lost."""
_CONTRAST, _LIFT = 0.83, 30


def other_colours(image: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] as another sensor would have it."""
    scaled = (image / 255.0) ** np.array(GAMMA)
    return np.clip(scaled * 255 * _CONTRAST + _LIFT, 0, 255).astype(np.uint8)


def as_it_is(image: np.ndarray) -> np.ndarray:
    return image


def without_kind(data: Path, kind: str, out: Path) -> None:
    """`data` without the tiles of one disaster, by hard links."""
    with replacing_folder(out) as folder:
        for path in sorted(data.glob("*/*/*")):
            if path.name.startswith(f"synthetic-{kind}_"):
                continue
            target = folder / path.relative_to(data)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)


def write_scenes(
    indices: tuple[int, ...], size: int, colours: Callable[[np.ndarray], np.ndarray], out: Path
) -> None:
    """Scenes of `SEED` with their labels as split `test` of an xBD data set."""
    with replacing_folder(out) as folder:
        for kind in ("images", "labels"):
            (folder / "test" / kind).mkdir(parents=True)
        for index in indices:
            scene = make_scene(SEED, index, size)
            for when, picture in (("pre", scene.pre), ("post", scene.post)):
                name = stem(scene, index, when)
                path = folder / "test" / "images" / f"{name}.png"
                cv2.imwrite(str(path), colours(picture)[..., ::-1])
                content = json.dumps(label(scene, SEED, index, when))
                (folder / "test" / "labels" / f"{name}.json").write_text(content)

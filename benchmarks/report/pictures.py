"""What the engines see and say, as data URIs: the page needs no other file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.engines import open_or_reason
from benchmarks.report.figures import EngineFigures
from runtime.damage import IGNORE
from runtime.errors import DataError
from runtime.overlay import colour_map
from train.xbd import Tile

UNCLASSIFIED_COLOUR = (128, 128, 128)
"""RGB, in a truth map. The runtime's magenta means "not computed", which truth is not."""

_SIDE = 512
"""Pixels; larger pictures are scaled down, since a page shows them smaller still."""
_JPEG_QUALITY = 85


@dataclass(frozen=True)
class Panel:
    title: str
    uri: str
    is_map: bool


@dataclass(frozen=True)
class Scene:
    """A tile: pre, post, truth, then one map for each engine that runs here."""

    tile: str
    panels: tuple[Panel, ...]
    has_unclassified: bool


def paint_scenes(engines: Sequence[EngineFigures], tiles: Sequence[Tile]) -> list[Scene]:
    """Engines that cannot run here have no panel; one is loaded at a time."""
    maps = {each.name: _maps(each, tiles) for each in engines}
    return [
        _scene(tile, {name: m[i] for name, m in maps.items() if m}) for i, tile in enumerate(tiles)
    ]


def _maps(engine: EngineFigures, tiles: Sequence[Tile]) -> list[np.ndarray]:
    """Damage maps uint8 [H,W] of the tiles, or [] where the engine cannot run here."""
    size = (engine.manifest.input.height, engine.manifest.input.width)
    pairs = [tile.images() for tile in tiles]
    for tile, (pre, _) in zip(tiles, pairs, strict=True):
        if pre.shape[:2] != size:
            raise DataError(
                f"{tile.name}: the tile is {pre.shape[0]}x{pre.shape[1]} (height x width), the "
                f"engine {engine.folder} takes {size[0]}x{size[1]}; give the data it was scored on"
            )
    opened = open_or_reason(engine.folder)
    if isinstance(opened, str):
        return []
    with opened:
        return [opened.predict(pre, post).damage for pre, post in pairs]


def _scene(tile: Tile, maps: dict[str, np.ndarray]) -> Scene:
    pre, post = tile.images()
    _, truth = tile.targets(*pre.shape[:2])
    unclassified = truth == IGNORE
    colours = colour_map(truth)
    colours[unclassified] = UNCLASSIFIED_COLOUR
    panels = [
        Panel("before", _photo(pre), False),
        Panel("after", _photo(post), False),
        Panel("truth", _drawing(colours), True),
    ]
    panels += [Panel(name, _drawing(colour_map(damage)), True) for name, damage in maps.items()]
    return Scene(tile.name, tuple(panels), bool(unclassified.any()))


def _photo(image: np.ndarray) -> str:
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    return _uri("jpeg", ".jpg", _fitted(image, cv2.INTER_AREA), options)


def _drawing(colours: np.ndarray) -> str:
    """Nearest pixel: a mixture of two class colours would be a third class."""
    return _uri("png", ".png", _fitted(colours, cv2.INTER_NEAREST), [])


def _fitted(image: np.ndarray, interpolation: int) -> np.ndarray:
    scale = _SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=interpolation)


def _uri(kind: str, suffix: str, rgb: np.ndarray, options: list[int]) -> str:
    _, content = cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
    return f"data:image/{kind};base64,{base64.b64encode(content.tobytes()).decode()}"

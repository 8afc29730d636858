"""A tile of a layer, as a PNG in the colours that the map has elsewhere."""

from __future__ import annotations

import threading
import warnings
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from runtime.output.legend import LEGENDS, TRANSPARENT
from runtime.output.overlay import NODATA_COLOUR
from runtime.output.raster_style import RAMP
from runtime.scene.strip import NOT_COMPUTED
from runtime.serve.views import PICTURES, TILE, file_of, levels
from runtime.source.raster import gdal_settings

AT_ONCE = threading.BoundedSemaphore(4)
"""Tiles that are drawn at the same time: more take memory, and no less time."""


def max_zoom(size: tuple[int, int]) -> int:
    """At which a pixel of the map is one of a tile; 0 is a single tile."""
    return len(levels(size)) - 1


def tile(
    folder: Path, layer: str, size: tuple[int, int], z: int, x: int, y: int
) -> NDArray[np.uint8] | None:
    """uint8 [TILE,TILE,4] RGBA, transparent beyond the map; None for a tile that there is not.

    Raises OSError where its file cannot be read.
    """
    level = max_zoom(size) - z
    if level < 0 or z < 0:
        return None
    height, width = levels(size)[level]
    top, left = y * TILE, x * TILE
    if not (0 <= top < height and 0 <= left < width):
        return None
    window = Window(left, top, min(TILE, width - left), min(TILE, height - top))
    with AT_ONCE, gdal_settings(), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(folder / file_of(layer, level), driver="GTiff") as dataset:
                found = dataset.read(window=window)
        except rasterio.errors.RasterioError as error:
            raise OSError(f"{folder.name}: {layer} cannot be shown") from error
    drawn = np.zeros((TILE, TILE, 4), np.uint8)
    part = drawn[: window.height, : window.width]
    if layer in PICTURES:
        part[..., :3] = np.moveaxis(found, 0, 2)
        part[..., 3] = 255
    else:
        part[...] = _colours(layer)[found[0]]
    return drawn


def png(picture: NDArray[np.uint8]) -> bytes:
    """uint8 [H,W,4] RGBA as a PNG; without its alpha where all is opaque."""
    if (picture[..., 3] == 255).all():
        turned = cv2.cvtColor(picture, cv2.COLOR_RGBA2BGR)
    else:
        turned = cv2.cvtColor(picture, cv2.COLOR_RGBA2BGRA)
    return cv2.imencode(".png", turned, [cv2.IMWRITE_PNG_COMPRESSION, 2])[1].tobytes()


@cache
def _colours(layer: str) -> NDArray[np.uint8]:
    """[256,4] RGBA by value."""
    colours = np.zeros((256, 4), np.uint8)
    if layer == "confidence":
        ramp = np.array([_rgb(each) for each in RAMP], float)
        at = np.linspace(0, len(RAMP) - 1, 256)
        for band in range(3):
            colours[:, band] = np.interp(at, range(len(RAMP)), ramp[:, band]).round()
        colours[:, 3] = 255
        colours[NOT_COMPUTED, 3] = 0
        return colours
    colours[:] = (*NODATA_COLOUR, 255)
    for value, _, colour in LEGENDS[layer].entries():
        colours[value, :3] = colour
    colours[TRANSPARENT, 3] = 0
    return colours


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[each : each + 2], 16) for each in (1, 3, 5))

"""What the page shows of a finished map: each layer at full size and halved again and again.

Each level is a TIFF of blocks as large as a tile of the page, so that a tile is one block. They
are made once, row by row, when a job is mapped: a 16-bit raster without overviews is as quick to
look at as a small picture, and needs as little memory.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from runtime import records
from runtime.errors import ImageError
from runtime.files import replacing_folder
from runtime.options import SUMMARY, MapOptions
from runtime.output.maps import reader
from runtime.output.quicklook import worst
from runtime.registering import registered
from runtime.source.contract import Source
from runtime.source.pair import ScenePair, pair_of
from runtime.source.raster import gdal_settings

TILE = 256
LAYERS = ("before", "after", "damage", "confidence", "quality")
PICTURES = ("before", "after")

Band = NDArray[np.uint8]
"""[rows,W] or [rows,W,3], of TILE rows but for the last."""

_KEPT: dict[str, Any] = {
    "driver": "GTiff", "dtype": "uint8", "tiled": True, "blockxsize": TILE, "blockysize": TILE,
    "bigtiff": "IF_SAFER",
}  # fmt: skip
_PICTURE = {"compress": "JPEG", "jpeg_quality": 90, "photometric": "YCBCR", "interleave": "pixel"}
_MAP = {"compress": "DEFLATE", "zlevel": 1}


def levels(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Height and width at full size, and of each half, until it is a single tile."""
    found = [size]
    while max(found[-1]) > TILE:
        found.append((-(-found[-1][0] // 2), -(-found[-1][1] // 2)))
    return found


def file_of(layer: str, level: int) -> str:
    """level: 0 at full size."""
    return f"{layer}-{level}.tif"


def make(pre: Path, post: Path, maps: Path, folder: Path, options: MapOptions) -> None:
    """All layers of the maps in `maps`, into `folder`, which appears whole.

    The images are read as they were mapped, with `options`. ImageError, ConfigError and OSError as
    for `pair_of`.
    """
    summary = records.load_json(maps / SUMMARY)
    size = summary["height"], summary["width"]
    with replacing_folder(folder) as made, gdal_settings(), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        for layer in LAYERS:
            if layer not in PICTURES:
                path = next(p for p in (maps / f"{layer}.tif", maps / f"{layer}.png") if p.exists())
                read = reader(path)
                half = _mean if layer == "confidence" else _worst
                _write((read(*rows) for rows in _rows(size[0])), made, layer, size, half)
        with pair_of(pre, post, options) as opened:
            pair = _as_mapped(opened, summary, made)
            for layer, source in zip(PICTURES, (pair.pre, pair.post), strict=True):
                _write(_of_source(source, size), made, layer, size, _mean)


def _as_mapped(pair: ScenePair, summary: dict[str, Any], folder: Path) -> ScenePair:
    """The second image where it was moved to."""
    if not (summary.get("registration") or {}).get("applied"):
        return pair
    measured = folder / "registration"
    measured.mkdir()
    try:
        return registered(pair, True, None, measured, {}).pair
    finally:
        shutil.rmtree(measured)


def _rows(height: int) -> Iterator[tuple[int, int]]:
    return ((top, min(TILE, height - top)) for top in range(0, height, TILE))


def _of_source(source: Source, size: tuple[int, int]) -> Iterator[Band]:
    """What cannot be read is black: it was told where it was mapped."""
    for top, height in _rows(size[0]):
        try:
            yield source.look(top, 0, height, size[1])[0]
        except ImageError:
            yield np.zeros((height, size[1], 3), np.uint8)


def _worst(band: Band) -> Band:
    return worst(band, 2)


def _mean(band: Band) -> Band:
    height, width = band.shape[:2]
    even = cv2.copyMakeBorder(band, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    half = (even.shape[1] // 2, even.shape[0] // 2)
    return np.asarray(cv2.resize(even, half, interpolation=cv2.INTER_AREA), np.uint8)


def _write(
    bands: Iterator[Band],
    folder: Path,
    layer: str,
    size: tuple[int, int],
    half: Callable[[Band], Band],
) -> None:
    how = _PICTURE if layer in PICTURES else _MAP
    count = 3 if layer in PICTURES else 1
    with ExitStack() as stack:
        files = [
            stack.enter_context(
                rasterio.open(
                    folder / file_of(layer, level), "w", height=height, width=width, count=count,
                    **_KEPT, **how,
                )
            )
            for level, (height, width) in enumerate(levels(size))
        ]  # fmt: skip
        _Level(files, half).take(bands)


class _Level:
    """Rows of one size, on their way to its file, and by pairs to the level of half the size."""

    def __init__(self, files: list[Any], half: Callable[[Band], Band]) -> None:
        self._file, self._half, self._top = files[0], half, 0
        self._kept: list[Band] = []
        self._below = _Level(files[1:], half) if files[1:] else None

    def take(self, bands: Iterator[Band]) -> None:
        for band in bands:
            self._add(band)
        self._end()

    def _add(self, band: Band) -> None:
        window = Window(0, self._top, band.shape[1], band.shape[0])
        planes = band[None] if band.ndim == 2 else np.moveaxis(band, 2, 0)
        self._file.write(planes, window=window)
        self._top += band.shape[0]
        self._kept.append(band)
        if len(self._kept) == 2:
            self._hand_down()

    def _hand_down(self) -> None:
        if self._below and self._kept:
            self._below._add(self._half(np.concatenate(self._kept)))
        self._kept.clear()

    def _end(self) -> None:
        self._hand_down()
        if self._below:
            self._below._end()

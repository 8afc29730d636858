"""A raster file: 8-bit RGB windows, read by GDAL as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.windows import Window

from runtime.errors import ImageError, reason
from runtime.source import complaints, trusted
from runtime.source import scale as scales
from runtime.source.blocks import Blocks, DamagedError, again
from runtime.source.contract import Asked, Known, Mask, Pixels, Scale
from runtime.source.declared import Declared, bits, declared
from runtime.source.georeference import Georeference
from runtime.source.known import check_nodata, every
from runtime.source.place import place_of
from runtime.source.seen import Seen

BLOCK_CACHE_BYTES = (64 << 20, 512 << 20)
"""GDAL's, of decoded blocks, at least and at most. Its default is a share of the machine's memory.
The most holds a row of windows of two 8-bit images of 80,000 columns in blocks of 512x512."""

PINNED = {
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",  # no file is an address
    "GTIFF_IGNORE_READ_ERRORS": "NO",
    "GDAL_DISABLE_READDIR_ON_OPEN": "FALSE",  # masks lie beside
    "GDAL_PAM_ENABLED": "YES",
    "GDAL_GEOREF_SOURCES": "PAM,INTERNAL,TABFILE,WORLDFILE,XML",
    "GTIFF_POINT_GEO_IGNORE": "NO",
    "GTIFF_VIRTUAL_MEM_IO": "NO",
    "GTIFF_DIRECT_IO": "NO",
    "CONVERT_YCBCR_TO_RGB": "YES",
    "GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE": "SIBLING_OR_CHILD_OF_VRT_PATH",
}
"""GDAL's defaults, of settings that make it pass over masks, damage or places."""

RED_GREEN_BLUE = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)

OTHER_COLOURS = {
    ColorInterp.palette, ColorInterp.hue, ColorInterp.saturation, ColorInterp.lightness,
    ColorInterp.cyan, ColorInterp.magenta, ColorInterp.yellow, ColorInterp.black,
    ColorInterp.Y, ColorInterp.Cb, ColorInterp.Cr,
}  # fmt: skip
OTHER_SPACES = {"CIELAB", "ICCLAB", "ITULAB", "LOGLUV", "CMYK"}
"""YCbCr is not among them: GDAL gives it as RGB."""


@dataclass(frozen=True, eq=False)
class Raster:
    """An opened raster whose three `bands` (from 1) are red, green and blue; a `Source`.

    `scale`: None for 8-bit rasters.
    """

    path: Path
    dataset: Any
    bands: tuple[int, int, int]
    declared: Declared
    scale: Scale | None
    blocks: Blocks
    seen: Seen

    @property
    def height(self) -> int:
        return int(self.dataset.height)

    @property
    def width(self) -> int:
        return int(self.dataset.width)

    @property
    def georeference(self) -> Georeference | None:
        """Raises ImageError for a place that cannot be used."""
        return place_of(self.path, self.dataset)

    def read(self, top: int, left: int, height: int, width: int) -> tuple[Pixels, Known | None]:
        stored, known = self.stored(top, left, height, width)
        self.seen.add(top, left, stored, known)
        return self.as_pixels(stored), known

    def look(self, top: int, left: int, height: int, width: int) -> tuple[Pixels, Known | None]:
        stored, known = self.stored(top, left, height, width)
        return self.as_pixels(stored), known

    def stored(
        self, top: int, left: int, height: int, width: int
    ) -> tuple[NDArray[Any], Known | None]:
        """[3,height,width] in the file's own values, and where it is known."""
        stored, masks = self._window(Window(left, top, width, height))
        return stored, every(masks)

    def masks(self, top: int, left: int, height: int, width: int) -> Iterator[Mask]:
        yield from self._window(Window(left, top, width, height))[1]

    def as_pixels(self, stored: NDArray[Any]) -> Pixels:
        if self.scale:
            stored = scales.scaled(stored, self.scale)
        return np.asarray(cv2.merge(list(stored)), np.uint8)

    def reduced(
        self, top: int, left: int, height: int, width: int, shape: tuple[int, int]
    ) -> Pixels:
        window = Window(left, top, width, height)
        how = {"window": window, "out_shape": (3, *shape), "resampling": Resampling.average}
        try:
            stored = self.blocks.looked_at(window, partial(self.dataset.read, self.bands, **how))
        except DamagedError as error:
            raise self._unreadable(window, error) from error
        return self.as_pixels(stored)

    def decoded_bytes(self, height: int) -> int:
        tall, wide = self.dataset.block_shapes[self.bands[0] - 1]
        rows = (-(-(height - 1) // tall) + 1) * tall
        columns = -(-self.width // wide) * wide
        each = sum(np.dtype(kind).itemsize for kind in self.dataset.dtypes)
        return int(min(rows, self.height + tall) * columns * each)

    def close(self) -> None:
        self.blocks.close()
        self.dataset.close()

    def _window(self, window: Window) -> tuple[NDArray[Any], list[Mask]]:
        masks: list[Mask] = []

        def read() -> NDArray[Any]:
            stored: NDArray[Any] = self.dataset.read(self.bands, window=window)
            masks.extend(self.declared.masks(self.dataset, stored, self.scale, window=window))
            return stored

        try:
            stored = self.blocks.read(window, read)
        except DamagedError as error:
            raise self._unreadable(window, error) from error
        written = self.blocks.written(window)
        if written is not None:
            masks.append(Mask("blocks", "none of its blocks was ever written", written))
        return stored, masks

    def _unreadable(self, window: Window, error: DamagedError) -> ImageError:
        return ImageError(
            f"{self.path}: cannot be read in the {window.height}x{window.width} window at row "
            f"{window.row_off}, column {window.col_off} ({reason(error)}); copy the file again"
        )


def gdal_settings(decoded: int = 0) -> AbstractContextManager[Any]:
    """For all that is read and written while a scene is mapped, whatever the environment says.

    decoded: bytes of blocks that will be asked for again. More than can be kept are not kept: of
        a row that does not fit whole, each block would be gone before its turn.
    """
    least, most = BLOCK_CACHE_BYTES
    kept = decoded if least < decoded <= most else least
    return rasterio.Env(GDAL_CACHEMAX=kept, **PINNED)  # type: ignore[no-any-return]


def open_raster(path: Path, asked: Asked) -> Raster:
    """Raises ImageError for a raster that is no RGB image, ConfigError for a wrong scale."""
    dataset = trusted.opened(path)
    try:
        return _as_raster(path, dataset, asked)
    except BaseException as error:
        dataset.close()
        if isinstance(error, trusted.FAILURES):
            raise trusted.unreadable(path, error) from error
        raise


def _as_raster(path: Path, dataset: Any, asked: Asked) -> Raster:
    bands = _bands(path, dataset, asked)
    masks, said = declared(path, dataset, bands, asked)
    kinds = [(dataset.dtypes[band - 1], bits(dataset, band)) for band in bands]
    check_nodata(path, asked.nodata, kinds[0][0])
    sample = partial(_sample, dataset, bands, masks)
    scale = scales.needed(path, kinds, asked.scale, sample)
    seen = Seen(dataset.height, dataset.width)
    seen.said += said
    used = (*bands, *(alpha.band for alpha in masks.alphas))
    return Raster(path, dataset, bands, masks, scale, Blocks(path, dataset, used), seen)


def _bands(path: Path, dataset: Any, asked: Asked) -> tuple[int, int, int]:
    """Those that are red, green and blue; ImageError where that cannot be told."""
    if asked.bands:
        if max(asked.bands) > dataset.count:
            raise ImageError(
                f"{path}: {dataset.count} band(s), and --bands names band {max(asked.bands)}"
            )
        return asked.bands
    kinds = dict(enumerate(dataset.colorinterp, 1))
    colours = [band for band, kind in kinds.items() if kind != ColorInterp.alpha]
    others = [kind.name for kind in kinds.values() if kind in OTHER_COLOURS]
    space = dataset.tags(ns="IMAGE_STRUCTURE").get("SOURCE_COLOR_SPACE", "")
    space = space if space in OTHER_SPACES else trusted.other_colours(path)
    if others or space:
        how = "use the RGB product of the scene"
        if ColorInterp.palette in kinds.values() and not space:
            how = f"expand it: gdal_translate -expand rgb {path} {path.stem}-rgb.tif"
        raise ImageError(
            f"{path}: the colours of its {dataset.count} band(s) are "
            f"{space or ' and '.join(others)}; expected red, green and blue; {how}"
        )
    if len(colours) != 3:
        raise ImageError(
            f"{path}: {dataset.count} band(s); expected three, red, green and blue"
            + ("; --bands R G B names them, for example --bands 1 2 3" if len(kinds) > 3 else "")
        )
    if {kinds[band] for band in colours} == set(RED_GREEN_BLUE):
        colours.sort(key=lambda band: RED_GREEN_BLUE.index(kinds[band]))
    return colours[0], colours[1], colours[2]


def _sample(dataset: Any, bands: tuple[int, ...], masks: Declared) -> NDArray[Any]:
    """Values of what is known, from a reduced image."""
    shrink = max(1.0, max(dataset.shape) / scales.SAMPLED)
    shape = tuple(max(1, round(side / shrink)) for side in dataset.shape)
    try:
        with again(dataset) as file, complaints.of_gdal():
            pixels = file.read(bands, out_shape=(3, *shape))
            known = every(masks.masks(file, pixels, None, out_shape=shape))
    except trusted.FAILURES:  # told where the window is mapped
        return np.empty(0)
    return np.asarray(pixels.ravel() if known is None else pixels[:, known])

"""A raster file: 8-bit RGB windows, read by GDAL as they are asked for."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.transform import Affine
from rasterio.windows import Window

from runtime.errors import ImageError, reason
from runtime.source import scale as scales
from runtime.source import trusted
from runtime.source.contract import Known, Pixels
from runtime.source.georeference import Georeference
from runtime.source.scale import Scale

BLOCK_CACHE_BYTES = 64 << 20
"""GDAL's, of decoded blocks. Its default is a share of the machine's memory."""

RED_GREEN_BLUE = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


@dataclass(frozen=True, eq=False)
class Raster:
    """An opened raster whose three `bands` (from 1) are red, green and blue; a `Source`.

    `alpha`: the band that is 255 where there is data. `masked`: there is nodata.
    `scale`: None for 8-bit rasters.
    """

    path: Path
    dataset: Any
    bands: tuple[int, int, int]
    alpha: int | None
    masked: bool
    scale: Scale | None

    @property
    def height(self) -> int:
        return int(self.dataset.height)

    @property
    def width(self) -> int:
        return int(self.dataset.width)

    @property
    def georeference(self) -> Georeference | None:
        """Raises ImageError for a CRS without a geotransform."""
        if self.dataset.crs is None:
            return None
        if self.dataset.transform == Affine.identity():
            raise ImageError(without_place(self.path, "no geotransform"))
        return Georeference(self.dataset.crs.to_wkt(), tuple(self.dataset.transform)[:6])

    def read(self, top: int, left: int, height: int, width: int) -> tuple[Pixels, Known | None]:
        window = Window(left, top, width, height)
        try:
            stacked = self.dataset.read(self.bands, window=window)
            valid = self._valid(window)
        except trusted.FAILURES as error:
            raise self._unreadable(window, error) from error
        if self.scale:
            stacked, finite = scales.scaled(stacked, self.scale)
            if finite is not None:
                valid = finite if valid is None else valid & finite
        return np.asarray(cv2.merge(list(stacked)), np.uint8), valid

    def reduced(
        self, top: int, left: int, height: int, width: int, shape: tuple[int, int]
    ) -> Pixels:
        window = Window(left, top, width, height)
        try:
            stacked = self.dataset.read(
                self.bands, window=window, out_shape=(3, *shape), resampling=Resampling.average
            )
        except trusted.FAILURES as error:
            raise self._unreadable(window, error) from error
        if self.scale:
            stacked, _ = scales.scaled(stacked, self.scale)
        return np.asarray(cv2.merge(list(stacked)), np.uint8)

    def close(self) -> None:
        self.dataset.close()

    def _valid(self, window: Window) -> NDArray[np.bool_] | None:
        if self.alpha:
            return np.asarray(self.dataset.read(self.alpha, window=window) == 255)
        if self.masked:
            return np.asarray(self.dataset.dataset_mask(window=window) == 255)
        return None

    def _unreadable(self, window: Window, error: Exception) -> ImageError:
        return ImageError(
            f"{self.path}: cannot be read in the {window.height}x{window.width} window at row "
            f"{window.row_off}, column {window.col_off} ({reason(error.__cause__ or error)}); "
            "copy the file again"
        )


def without_place(path: Path, missing: str) -> str:
    """What to do about an image whose place on the ground is needed and not known."""
    return (
        f"{path}: {missing}, so its place on the ground is unknown; assign it with "
        f"gdal_translate -a_srs EPSG:CODE -a_ullr LEFT TOP RIGHT BOTTOM {path} "
        f"{path.stem}-placed.tif"
    )


def gdal_settings() -> AbstractContextManager[Any]:
    """For all that is read and written while a scene is mapped; no file is an address."""
    return rasterio.Env(  # type: ignore[no-any-return]
        GDAL_CACHEMAX=BLOCK_CACHE_BYTES, CPL_VSIL_CURL_ALLOWED_FILENAME="none"
    )


def open_raster(path: Path, scale: Scale | None) -> Raster:
    """Raises ImageError for a raster that is no RGB image, ConfigError for a wrong scale."""
    dataset = trusted.opened(path)
    try:
        return as_raster(path, dataset, scale)
    except BaseException as error:
        dataset.close()
        if isinstance(error, trusted.FAILURES):
            raise trusted.unreadable(path, error) from error
        raise


def as_raster(path: Path, dataset: Any, scale: Scale | None) -> Raster:
    """The same of a dataset that is open: a file, or a file warped to another grid."""
    kinds = dataset.colorinterp
    alpha = dataset.count if dataset.count == 4 and kinds[3] == ColorInterp.alpha else None
    if dataset.count != 3 and not alpha:
        raise ImageError(
            f"{path}: {dataset.count} band(s); expected three, red, green and blue; pick them "
            f"with: gdal_translate -b R -b G -b B {path} {path.stem}-rgb.tif"
        )
    bands = (1, 2, 3)
    if set(kinds[:3]) == set(RED_GREEN_BLUE):
        bands = tuple(kinds.index(each) + 1 for each in RED_GREEN_BLUE)
    flags = dataset.mask_flag_enums[:3]
    masked = alpha is None and any(MaskFlags.all_valid not in each for each in flags)
    needed = scales.needed(path, dataset.dtypes[:3], scale, lambda: _sample(dataset))
    return Raster(path, dataset, bands, alpha, masked, needed)


def _sample(dataset: Any) -> NDArray[Any]:
    """Values of the data, from a reduced image."""
    shrink = max(1.0, max(dataset.shape) / scales.SAMPLED)
    shape = tuple(max(1, round(side / shrink)) for side in dataset.shape)
    sample = dataset.read((1, 2, 3), out_shape=(3, *shape), masked=True)
    return np.asarray(sample.compressed())

"""One raster as 8-bit RGB windows, read as they are asked for."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from runtime.errors import ConfigError, ImageError, reason

RED_GREEN_BLUE = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
SAMPLED = 1024
"""Pixels a side, at most, of the reduced image that a scale is proposed from."""

Scale = tuple[float, float]
"""The values that become 0 and 255; what lies between is mapped linearly."""


@dataclass(frozen=True, eq=False)
class Source:
    """An opened raster whose three `bands` (from 1) are red, green and blue.

    `alpha`: the band that is 255 where there is data. `masked`: there is nodata.
    `scale`: None for 8-bit rasters.
    """

    path: Path
    dataset: Any
    bands: tuple[int, int, int]
    alpha: int | None
    masked: bool
    scale: Scale | None

    def read(
        self, top: int, left: int, height: int, width: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
        """Pixels [height,width,3] RGB, and where they are data [height,width]; None: all are.

        Raises ImageError where the file cannot be read there.
        """
        window = Window(left, top, width, height)
        try:
            stacked = self.dataset.read(self.bands, window=window)
            valid = self._valid(window)
        except RasterioError as error:
            raise ImageError(
                f"{self.path}: cannot be read in the {height}x{width} window at row {top}, "
                f"column {left} ({reason(error.__cause__ or error)}); copy the file again"
            ) from error
        if self.scale:
            stacked, finite = _scaled(stacked, self.scale)
            if finite is not None:
                valid = finite if valid is None else valid & finite
        return np.asarray(cv2.merge(list(stacked)), np.uint8), valid

    def _valid(self, window: Window) -> NDArray[np.bool_] | None:
        if self.alpha:
            return np.asarray(self.dataset.read(self.alpha, window=window) == 255)
        if self.masked:
            return np.asarray(self.dataset.dataset_mask(window=window) == 255)
        return None


def is_placed(path: Path) -> bool:
    """Has the file a CRS? False also for one that cannot be opened."""
    try:
        with _open(path) as dataset:
            return dataset.crs is not None
    except RasterioError:
        return False


def open_source(path: Path, scale: Scale | None) -> Source:
    """Raises ImageError for a raster that is no RGB image, ConfigError for a wrong scale."""
    if not path.is_file():
        raise ImageError(f"{path}: no such image")
    try:
        dataset = _open(path)
    except RasterioError as error:
        raise ImageError(
            f"{path}: cannot be opened as a raster ({reason(error)}); copy the file again"
        ) from error
    return as_source(path, dataset, scale)


def as_source(path: Path, dataset: Any, scale: Scale | None) -> Source:
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
    return Source(path, dataset, bands, alpha, masked, _needed_scale(path, dataset, scale))


def _open(path: Path) -> Any:
    with warnings.catch_warnings():  # its own account of a raster without coordinates
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path)


def _needed_scale(path: Path, dataset: Any, scale: Scale | None) -> Scale | None:
    if scale and not (np.isfinite(scale).all() and scale[0] < scale[1]):
        raise ConfigError(f"--scale {scale[0]} {scale[1]}: expected LO HI, LO below HI")
    kinds = sorted(set(dataset.dtypes[:3]))
    if kinds == ["uint8"]:
        return None
    if scale is None:
        raise ImageError(
            f"{path}: {' and '.join(kinds)}; expected uint8; --scale LO HI maps LO to 0 and HI "
            f"to 255, for example --scale {_proposed(dataset)} (the image's 2nd and 98th "
            "percentile)"
        )
    return scale


def _proposed(dataset: Any) -> str:
    shrink = max(1.0, max(dataset.shape) / SAMPLED)
    shape = tuple(max(1, round(side / shrink)) for side in dataset.shape)
    sample = dataset.read((1, 2, 3), out_shape=(3, *shape), masked=True)
    values = sample.compressed()
    values = values[np.isfinite(values)]
    if not values.size:
        return "0 1"
    low, high = np.percentile(values, (2, 98))
    return f"{low:.6g} {high:.6g}"


def _scaled(
    stacked: NDArray[Any], scale: Scale
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """uint8, rounded, and where all bands are numbers (floating-point rasters)."""
    low, high = scale
    finite = None
    values = stacked.astype(np.float32)
    if np.issubdtype(stacked.dtype, np.floating):
        finite = np.isfinite(stacked).all(axis=0)
        values = np.nan_to_num(values, posinf=0, neginf=0)
    values = np.rint((values - low) * (255 / (high - low)))
    return np.clip(values, 0, 255).astype(np.uint8), finite

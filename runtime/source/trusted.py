"""Opening a raster so that GDAL reads this file and what belongs to it, and nothing else.

By itself GDAL tries every format that it knows, some of which name other files and addresses
(VRT, WMS, ...). It opens overviews and masks that lie beside an image, or that its metadata name,
in the same way. A header may also declare blocks larger than memory.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from runtime.errors import ImageError, reason
from runtime.source import aux_xml, directories
from runtime.source.limits import check_file

DRIVERS = {
    **dict.fromkeys(directories.SIGNATURES, "GTiff"),
    b"\0\0\0\x0cjP  \r\n\x87\n": "JP2OpenJPEG",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",
}
"""By the content's begin."""

MOST_PIXELS_A_SIDE = 1 << 18
"""131 km at half a metre. A row of windows is in memory over the scene's full width."""

MOST_BLOCK_BYTES = 1 << 28
"""Of a block, decoded, of which one window may touch several."""

FAILURES = RasterioError, CPLE_BaseError, UnicodeError
"""GDAL's own errors come through where rasterio has none, and names that are not UTF-8."""

_BESIDE = ".ovr", ".msk", ".aux", ".rrd", ".aux.xml"
_OVERVIEWS = "OVERVIEWS"
_ERDAS = b"EHFA_HEADER_TAG"


def opened(path: Path) -> Any:
    """The raster, opened by rasterio; ImageError for what it must not open, or cannot."""
    check_file(path)
    path = path.absolute()  # rasterio and GDAL take other names for addresses
    driver = _driver(path)
    if driver is None or str(path).startswith("/vsi"):
        raise ImageError(f"{path}: expected the file of a GeoTIFF or JPEG 2000")
    for beside in _beside(path):
        _check_beside(beside, path)
        if driver == "GTiff":
            _check_one_mask(beside, path)
    return _checked(path, driver)


def _driver(path: Path) -> str | None:
    with path.open("rb") as file:
        begin = file.read(max(map(len, DRIVERS)))
    return next((name for each, name in DRIVERS.items() if begin.startswith(each)), None)


def _checked(path: Path, driver: str) -> Any:
    if driver == "GTiff":
        _check_header(path)
    try:
        with warnings.catch_warnings():  # its own account of a raster without coordinates
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path, driver=driver)
    except FAILURES as error:
        raise unreadable(path, error) from error
    try:
        if dataset.tags(ns=_OVERVIEWS):
            raise _points_elsewhere(path)
        _check_sides(path, dataset)
    except FAILURES as error:
        dataset.close()
        raise unreadable(path, error) from error
    except BaseException:
        dataset.close()
        raise
    return dataset


def other_colours(path: Path) -> str:
    """Than red, green and blue, that a TIFF declares; GDAL tells of some alone. "" for none."""
    if _driver(path) != "GTiff":
        return ""
    return next(_directories(path)).colours or ""


def unreadable(path: Path, error: Exception) -> ImageError:
    return ImageError(
        f"{path}: cannot be opened as a raster ({reason(error)}); copy the file again"
    )


def _check_header(path: Path) -> None:
    """The sizes that a TIFF declares, of its overviews and masks too; GDAL checks a JPEG 2000's."""
    for found in _directories(path):
        _check_size(path, found)


def _directories(path: Path) -> Iterator[directories.Directory]:
    try:
        with path.open("rb") as file:
            yield from directories.directories(file)
    except directories.DirectoryError as error:
        raise ImageError(f"{path}: a TIFF {error}; copy it again from its source") from error


def _check_size(path: Path, found: directories.Directory) -> None:
    rows, columns, size = found.block
    if found.compressed and size > MOST_BLOCK_BYTES:
        raise ImageError(
            f"{path}: stored in blocks of {rows}x{columns} pixels, each {size >> 20} MiB unpacked, "
            f"expected at most {MOST_BLOCK_BYTES >> 20} MiB; store it in small ones with "
            f"gdal_translate -co TILED=YES -co BIGTIFF=IF_SAFER {path} {path.stem}-tiled.tif"
        )


def _check_sides(path: Path, dataset: Any) -> None:
    if max(dataset.shape) > MOST_PIXELS_A_SIDE:
        raise ImageError(
            f"{path}: {dataset.height}x{dataset.width} pixels (height x width), expected at most "
            f"{MOST_PIXELS_A_SIDE} a side; cut it with gdal_translate -srcwin LEFT TOP WIDTH HEIGHT"
        )


def _beside(path: Path) -> Iterator[Path]:
    """Files that GDAL opens with the image, and with those in turn (`a.tif.msk.ovr`)."""
    begins = f"{path.name.lower()}.", f"{path.stem.lower()}."
    with os.scandir(path.parent) as entries:
        names = [entry.name for entry in entries]
    for name in names:
        if name != path.name and name.lower().startswith(begins) and name.lower().endswith(_BESIDE):
            yield path.with_name(name)


def _check_one_mask(beside: Path, path: Path) -> None:
    """Of a mask in the file and one beside it, GDAL takes the one beside alone."""
    if beside.name.lower() == f"{path.name.lower()}.msk" and any(
        found.is_mask for found in _directories(path)
    ):
        raise ImageError(
            f"{path}: it has a mask in it and {beside.name} beside it, of which GDAL reads the "
            f"one beside alone; expected one; move {beside.name} away, or write the image again "
            f"with it: gdal_translate --config GDAL_TIFF_INTERNAL_MASK YES {path} "
            f"{path.stem}-masked.tif"
        )


def _check_beside(beside: Path, path: Path) -> None:
    """Overviews and masks are TIFFs, as GDAL writes them; what is told of them is in place."""
    check_file(beside)
    with beside.open("rb") as file:
        begin = file.read(len(_ERDAS))
    kind = beside.suffix.lower()
    if kind in (".ovr", ".msk"):
        if not begin.startswith(directories.SIGNATURES):
            raise ImageError(
                f"{beside}: GDAL reads it with {path.name}; expected a TIFF; move it away"
            )
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
            _checked(beside, "GTiff").close()
    elif kind == ".xml":
        _check_xml(beside, path)
    elif begin.startswith(_ERDAS):
        raise ImageError(
            f"{beside}: GDAL reads it, and files that it names, with {path.name}; move it away, "
            f"or put all into one file with gdal_translate {path} {path.stem}-alone.tif"
        )


def _check_xml(beside: Path, path: Path) -> None:
    for element in aux_xml.elements(beside, path):
        for key, value in element.items():
            if key.lower() == "domain" and value.upper() == _OVERVIEWS:
                raise _points_elsewhere(beside)


def _points_elsewhere(path: Path) -> ImageError:
    return ImageError(
        f"{path}: its metadata name another file that holds its overviews; expected an image in "
        f"one file; write it again with gdal_translate -nomd {path} {path.stem}-alone.tif"
    )

"""What an uploaded file is, by its bytes: its name says nothing."""

from __future__ import annotations

from pathlib import Path

from runtime.errors import ImageError, ToolkitError, reason
from runtime.options import MapOptions
from runtime.serve.errors import RefusedError
from runtime.source import jpeg, limits, png, tiff
from runtime.source.contract import asked_of_each
from runtime.source.scale import NeedsScale

SUFFIXES = {
    png.SIGNATURE: ".png",
    jpeg.SIGNATURE: ".jpg",
    **dict.fromkeys(tiff.SIGNATURES, ".tif"),
}
"""By the content's begin. None of these can name another file; a VRT, a KML or an SVG can."""

TYPES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
LONGEST = max(map(len, SUFFIXES))


def suffix_of(begin: bytes, name: str) -> str:
    """Of a file that begins so; RefusedError for no image."""
    for signature, suffix in SUFFIXES.items():
        if begin.startswith(signature):
            return suffix
    raise RefusedError(
        415, f"{name!r}: neither PNG, JPEG nor TIFF, whatever its name says; expected an image"
    )


def check(path: Path, name: str, options: MapOptions) -> None:
    """RefusedError for an image that could not be mapped, by what it declares."""
    try:
        if path.suffix == ".tif":
            from runtime.source.raster import gdal_settings, open_raster

            asked = asked_of_each(options.bands, options.scale, options.nodata)
            with gdal_settings():
                try:
                    open_raster(path, asked[0]).close()
                except NeedsScale:  # the pair tells it, with what fits both
                    return
        else:
            with path.open("rb") as file:
                size = limits.declared(file)
            if size and size[0] * size[1] > limits.MOST_PIXELS:
                raise ImageError(
                    f"{path}: {size[0]}x{size[1]} pixels (height x width), a picture may have "
                    f"{limits.MOST_PIXELS}; expected a GeoTIFF, which is read in windows"
                )
    except (ToolkitError, ValueError) as error:
        raise RefusedError(415, reason(error).replace(str(path), name)) from error

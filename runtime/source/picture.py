"""A PNG, JPEG or TIFF without GDAL, decoded whole: RGB, or an error that says what it really is.

Nothing is converted silently: a stretched 16-bit image or a dropped alpha band
would give a map that looks right and is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.errors import ImageError
from runtime.source import jpeg, limits, png, scale
from runtime.source.contract import Known, Pixels
from runtime.source.georeference import Georeference

TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_EXPECTED = "expected 8-bit RGB (three bands)"


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, uint8 [H,W,3] RGB, and where it is known; a `Source` without a place."""

    path: Path
    pixels: Pixels
    known: Known | None

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def georeference(self) -> Georeference | None:
        return None

    def read(self, top: int, left: int, height: int, width: int) -> tuple[Pixels, Known | None]:
        window = slice(top, top + height), slice(left, left + width)
        return self.pixels[window], None if self.known is None else self.known[window]

    def reduced(
        self, top: int, left: int, height: int, width: int, shape: tuple[int, int]
    ) -> Pixels:
        pixels, _ = self.read(top, left, height, width)
        return np.asarray(cv2.resize(pixels, shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)

    def close(self) -> None:
        """There is nothing to close."""


def open_picture(path: Path, values: scale.Scale | None) -> Picture:
    """Raises ImageError for what is no RGB picture, ConfigError for a wrong scale.

    values: of a 16-bit picture, those that become 0 and 255.
    """
    pixels, transparent = _decoded(path)
    needed = scale.needed(path, [pixels.dtype], values, pixels.ravel)
    known: Known | None = None
    if transparent is not None:
        shown = np.asarray((pixels != np.array(transparent, pixels.dtype)).any(axis=2))
        known = None if shown.all() else shown
    if needed:
        stacked, finite = scale.scaled(np.moveaxis(pixels, 2, 0), needed)
        pixels = np.ascontiguousarray(np.moveaxis(stacked, 0, 2))
        if finite is not None:
            known = finite if known is None else known & finite
    return Picture(path, pixels, known)


def read_image(path: Path | str) -> NDArray[np.uint8]:
    """uint8 [H,W,3] RGB from a PNG, JPEG or TIFF file, on the stored pixel grid.

    An orientation tag in a PNG or JPEG is not applied: it would turn the map against
    the other image.
    """
    path = Path(path)
    pixels, _ = _decoded(path)
    if pixels.dtype != np.uint8:
        raise _wrong_pixels(path, f"three bands of {pixels.dtype}")
    return np.asarray(pixels, np.uint8)


def read_pair(
    pre_path: Path | str, post_path: Path | str
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The images before and after, uint8 [H,W,3] RGB, of one size."""
    pre, post = read_image(pre_path), read_image(post_path)
    if pre.shape != post.shape:
        raise ImageError(
            f"{post_path}: {size_of(post)}, but {pre_path} is {size_of(pre)} (height x width); "
            "expected two images of one size that show the same ground; "
            "cut or resample one to the grid of the other"
        )
    return pre, post


def size_of(image: NDArray[np.uint8]) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"


def _decoded(path: Path) -> tuple[NDArray[Any], tuple[int, ...] | None]:
    """[H,W,3] RGB of the file's own dtype, and the colour that stands for no data.

    ImageError for any other number of bands.
    """
    content = limits.picture(path)
    transparent = None
    if content.startswith(png.SIGNATURE):
        transparent = _check_png(content, path).transparent
        content = png.essential(content)
    elif content.startswith(jpeg.SIGNATURE):
        _check_jpeg(content, path)
    elif not content.startswith(TIFF_SIGNATURES):
        raise unknown_format(path)
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(f"{path}: cannot be decoded ({error.err}); write it again") from error
    if pixels is None:
        raise ImageError(f"{path}: truncated or corrupted, it cannot be decoded; copy it again")
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        bands = 1 if pixels.ndim == 2 else pixels.shape[2]
        raise _wrong_pixels(path, f"{bands} band(s) of {pixels.dtype}")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)), transparent


def unknown_format(path: Path) -> ImageError:
    return ImageError(
        f"{path}: not an image in a known format; expected PNG, JPEG or TIFF; "
        f"convert it, for example with: gdal_translate -of PNG {path} {path.stem}.png"
    )


def _check_png(content: bytes, path: Path) -> png.Header:
    try:
        header = png.check(content)
    except png.PngError as error:
        raise ImageError(f"{path}: a PNG {error}; copy it again from its source") from error
    if header.colours != "RGB":
        raise _wrong_pixels(path, f"{header.bits}-bit {header.colours} PNG")
    return header


def _check_jpeg(content: bytes, path: Path) -> None:
    try:
        header = jpeg.check(content)
    except jpeg.JpegError as error:
        raise ImageError(f"{path}: a JPEG {error}; copy it again from its source") from error
    if header.bits != 8 or header.components != 3:
        colours = {1: "grey", 3: "colour", 4: "CMYK"}.get(header.components, "multi-band")
        raise _wrong_pixels(path, f"{header.bits}-bit {colours} JPEG")


def _wrong_pixels(path: Path, found: str) -> ImageError:
    """The advice fits what was found: each kind loses something else."""
    to_rgb = f"gdal_translate -of PNG -b 1 -b 2 -b 3 {path} {path.stem}-rgb.png"
    if any(bits in found for bits in ("16", "32", "64")):
        how = f"scale it to 8 bits as for training: {to_rgb} -ot Byte -scale"
    elif "palette" in found:
        how = f"expand it: gdal_translate -of PNG -expand rgb {path} {path.stem}-rgb.png"
    elif "grey" in found or found[:2] in ("1 ", "2 "):
        how = "use the colour product of the scene: the network was trained on colour"
    else:
        how = f"keep the three colour bands: {to_rgb}"
    return ImageError(f"{path}: {found}; {_EXPECTED}; {how}")

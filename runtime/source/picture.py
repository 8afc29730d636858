"""A PNG, JPEG or TIFF without GDAL, decoded whole: RGB, or an error that says what it really is.

Nothing is converted silently: a stretched 16-bit image or a dropped alpha band
would give a map that looks right and is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.errors import ImageError
from runtime.options import RASTER_EXTRA
from runtime.source import aux_xml, complaints, jpeg, known, limits, png, sidecars, tiff
from runtime.source import scale as scales
from runtime.source.contract import Asked, Known, Mask, Pixels, Scale
from runtime.source.georeference import Georeference
from runtime.source.huffman import erased
from runtime.source.seen import Seen, shrunk

_EXPECTED = "expected 8-bit RGB (three bands)"


Colour = tuple[str, tuple[float, ...]]
"""What it is called, and red, green and blue."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, uint8 [H,W,3] RGB, and where it is known; a `Source` without a place.

    scale: None for 8-bit pictures.
    """

    path: Path
    pixels: Pixels
    of_each: tuple[Mask, ...]
    known: Known | None
    scale: Scale | None
    seen: Seen

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

    def look(self, top: int, left: int, height: int, width: int) -> tuple[Pixels, Known | None]:
        return self.read(top, left, height, width)

    def masks(self, top: int, left: int, height: int, width: int) -> Iterator[Mask]:
        window = slice(top, top + height), slice(left, left + width)
        for each in self.of_each:
            yield Mask(each.name, each.alone, each.known[window])

    def reduced(
        self, top: int, left: int, height: int, width: int, shape: tuple[int, int]
    ) -> Pixels:
        return shrunk(self.read(top, left, height, width)[0], shape)

    def decoded_bytes(self, height: int) -> int:
        return 0

    def close(self) -> None:
        """There is nothing to close."""


def open_picture(path: Path, asked: Asked) -> Picture:
    """Raises ImageError for what is no RGB picture, ConfigError for a wrong scale."""
    _check_no_mask_beside(path)
    decoded, colours = _decoded(path)
    if asked.bands:
        if max(asked.bands) > 3:
            raise ImageError(f"{path}: 3 bands, and --bands names band {max(asked.bands)}")
        order = [band - 1 for band in asked.bands]
        decoded = np.ascontiguousarray(decoded[..., order])
        colours = [(name, tuple(colour[each] for each in order)) for name, colour in colours]
    known.check_nodata(path, asked.nodata, decoded.dtype)
    if asked.nodata is not None:
        colours.append((f"what --nodata says, {asked.nodata:g}", (asked.nodata,) * 3))
    stored = np.moveaxis(decoded, 2, 0)
    masks = tuple(known.of_values(stored, colours, asked.scale))
    shown = known.every(masks)

    def sample() -> NDArray[Any]:
        return decoded.ravel() if shown is None else decoded[shown]

    scale = scales.needed(path, [(decoded.dtype, None)], asked.scale, sample)
    seen = Seen(*decoded.shape[:2])
    seen.add(0, 0, stored, shown)
    pixels = decoded
    if scale:
        pixels = np.ascontiguousarray(np.moveaxis(scales.scaled(stored, scale), 0, 2))
    if shown is not None and shown.all():
        shown = None
    return Picture(path, pixels, masks, shown, scale, seen)


def _check_no_mask_beside(path: Path) -> None:
    """Only GDAL reads what lies beside: a mask there would be passed over."""
    for beside in sidecars.beside(path):
        ending = beside.name.lower().removeprefix(path.name.lower())
        if ending == ".msk":
            raise ImageError(
                f"{beside}: the mask of {path.name}, which is read of a GeoTIFF alone; put both "
                f"into one, and map that, or move the mask away: gdal_translate -mask mask "
                f"--config GDAL_TIFF_INTERNAL_MASK YES {path} {path.stem}-masked.tif"
            )
        if ending != ".aux.xml":
            continue
        limits.check_file(beside)
        value = aux_xml.nodata(beside, path)
        if value is not None:
            how = f"--nodata {value} says the same, once it is moved away"
            if " " in value:  # a colour
                how = f"map a GeoTIFF: gdal_translate {path} {path.stem}-alone.tif"
            raise ImageError(
                f"{beside}: it declares {value} of {path.name} to be no data, which is read of a "
                f"GeoTIFF alone; {how}"
            )


def read_image(path: Path | str) -> NDArray[np.uint8]:
    """uint8 [H,W,3] RGB from a PNG, JPEG or TIFF file, on the stored pixel grid.

    An orientation tag is not applied: it would turn the map against
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
    """Read a pair of pictures (PNG, JPEG, TIFF) to memory; the place of a GeoTIFF is not read.

    Returns:
        The images before and after, uint8 [H,W,3] RGB, of one size.

    Raises:
        ImageError: a file that is missing, damaged or no 8-bit RGB picture, or two sizes.
    """
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


def _decoded(path: Path) -> tuple[NDArray[Any], list[Colour]]:
    """[H,W,3] RGB of the file's own dtype, and the colours that stand for no data.

    ImageError for any other number of bands, and for what the decoder only makes up.
    """
    content = limits.picture(path)
    colours: list[Colour] = []
    if content.startswith(png.SIGNATURE):
        transparent = _check_png(content, path).transparent
        if transparent is not None:
            name = " ".join(map(str, transparent))
            colours.append((f"the colour that it names transparent, {name}", transparent))
        content = png.essential(content)
    elif content.startswith(jpeg.SIGNATURE):
        _check_jpeg(content, path)
    elif content.startswith(tiff.SIGNATURES):
        header = _check_tiff(content, path)
        content = tiff.upright(content, header)
        if header.nodata is not None:
            colours.append((f"its nodata, {header.nodata:g}", (header.nodata,) * 3))
    else:
        raise unknown_format(path)
    try:
        if content.startswith(jpeg.SIGNATURE):
            pixels = _decoded_jpeg(content, path)
        else:
            pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(f"{path}: cannot be decoded ({error.err}); write it again") from error
    if pixels is None:
        raise ImageError(f"{path}: truncated or corrupted, it cannot be decoded; copy it again")
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        bands = 1 if pixels.ndim == 2 else pixels.shape[2]
        raise _wrong_pixels(path, f"{bands} band(s) of {pixels.dtype}")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)), colours


def _decoded_jpeg(content: bytes, path: Path) -> Any:
    """Damaged data are decoded to something: ImageError where the decoder says so, or cannot."""
    if not complaints.libjpeg_is_heard():
        raise ImageError(
            f"{path}: a JPEG, and this OpenCV decodes damaged ones without a word; convert it with "
            f"a program that checks it, or use another build of OpenCV: djpeg {path}"
        )
    with complaints.of_libjpeg() as messages:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if wrong := messages[0] if messages else erased(content):
        raise ImageError(
            f"{path}: a JPEG that is corrupted: {wrong}; copy it again from its source"
        )
    return pixels


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


def _check_tiff(content: bytes, path: Path) -> tiff.Header:
    try:
        header = tiff.check(content)
    except tiff.TiffError as error:
        raise ImageError(f"{path}: a TIFF {error}; copy it again from its source") from error
    except tiff.NeedsGdalError as error:
        raise ImageError(f"{path}: a TIFF {error}; that needs rasterio: {RASTER_EXTRA}") from error
    if header.colours != "RGB":
        found = f"{header.samples} band(s) of {header.bits}-bit {header.colours} TIFF"
        raise _wrong_pixels(path, found)
    return header


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

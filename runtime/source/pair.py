"""Two images as one scene: of one size, on one grid, with one place or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from runtime.errors import ConfigError, ImageError
from runtime.options import RASTER_EXTRA
from runtime.source.contract import Known, Pixels, Source
from runtime.source.georeference import Georeference
from runtime.source.limits import check_file, check_label
from runtime.source.picture import TIFF_SIGNATURES, open_picture
from runtime.source.scale import Scale

JPEG_2000 = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
_LONGEST = max(map(len, JPEG_2000))


@dataclass(frozen=True, eq=False)
class ScenePair:
    """Two images of `height` x `width` pixels that show the same ground.

    georeference: None where the place is not known.
    """

    pre: Source
    post: Source
    height: int
    width: int
    georeference: Georeference | None

    def read(
        self, top: int, left: int, height: int, width: int
    ) -> tuple[Pixels, Pixels, Known | None]:
        """pre and post [height,width,3], and where both are known; None: everywhere."""
        pre, first = self.pre.read(top, left, height, width)
        post, second = self.post.read(top, left, height, width)
        if first is None or second is None:
            return pre, post, second if first is None else first
        return pre, post, first & second


@contextmanager
def open_pair(
    pre_path: Path,
    post_path: Path,
    *,
    align: bool = False,
    scale: Scale | None = None,
    label: Path | None = None,
) -> Iterator[ScenePair]:
    """Open both images.

    Args:
        label: an xBD label that places both, for files that have no place of their own.
    Raises:
        ImageError: not RGB, another size or grid, no common ground, a place that is needed and
            not there.
    """
    with ExitStack() as stack:
        if label or any(_is_raster(path) for path in (pre_path, post_path)):
            from runtime.source.raster import gdal_settings

            stack.enter_context(gdal_settings())
        pre = open_source(pre_path, scale)
        stack.callback(pre.close)
        post = open_source(post_path, scale)
        stack.callback(post.close)
        place = None if label else pre.georeference
        if label:
            from runtime.source.xbd_label import georeference_of

            check_label(label)
            place = georeference_of(label)
        elif place or post.georeference or align:
            from runtime.source.grid import on_one_grid

            aligned = on_one_grid(pre, post, align, scale)
            if aligned is not post:
                stack.callback(aligned.close)
            post = aligned
        _check_size(pre, post)
        yield ScenePair(pre, post, pre.height, pre.width, place)


def open_source(path: Path, scale: Scale | None) -> Source:
    """Pictures and, without GDAL, TIFFs are decoded whole; other rasters are read in windows.

    Raises ImageError for a file that is no RGB image, ConfigError for a wrong scale.
    """
    if _is_raster(path):
        from runtime.source.raster import open_raster

        return open_raster(path, scale)
    return open_picture(path, scale)


def _is_raster(path: Path) -> bool:
    check_file(path)
    with path.open("rb") as file:
        begin = file.read(_LONGEST)
    if begin.startswith(JPEG_2000) and not find_spec("rasterio"):
        raise ConfigError(f"{path}: a JPEG 2000, which needs rasterio; {RASTER_EXTRA}")
    raster = begin.startswith((*TIFF_SIGNATURES, *JPEG_2000))
    return raster and find_spec("rasterio") is not None


def _check_size(pre: Source, post: Source) -> None:
    if (pre.height, pre.width) != (post.height, post.width):
        raise ImageError(
            f"{post.path}: {post.height}x{post.width}, but {pre.path} is {pre.height}x{pre.width} "
            "(height x width); expected two images of one size that show the same ground; "
            "cut or resample one to the grid of the other"
        )

"""Two images as one scene: of one size, on one grid, with one place or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from runtime.errors import ConfigError, ImageError
from runtime.options import RASTER_EXTRA, MapOptions
from runtime.source.contract import Asked, Known, Pixels, Source, asked_of_each
from runtime.source.georeference import Georeference
from runtime.source.limits import check_file, check_label
from runtime.source.picture import open_picture
from runtime.source.scale import NeedsScale, of_both
from runtime.source.tiff import SIGNATURES as TIFF_SIGNATURES
from runtime.source.world_file import check_one_place

JPEG_2000 = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
_LONGEST = max(map(len, JPEG_2000))


@dataclass(frozen=True, eq=False)
class ScenePair:
    """Two images of `height` x `width` pixels that show the same ground.

    georeference: None where the place is not known.
    notes: of the place, for a person to read.
    within: where the ground that is asked for is, of a window; what lies beyond counts as not
        known. None: all of it.
    """

    pre: Source
    post: Source
    height: int
    width: int
    georeference: Georeference | None
    notes: tuple[str, ...] = ()
    within: Callable[[int, int, int, int], Known] | None = None

    def read(
        self, top: int, left: int, height: int, width: int
    ) -> tuple[Pixels, Pixels, Known | None]:
        """pre and post [height,width,3], and where both are known; None: everywhere."""
        pre, first = self.pre.read(top, left, height, width)
        post, second = self.post.read(top, left, height, width)
        asked = self.within(top, left, height, width) if self.within else None
        known: Known | None = None
        for each in (first, second, asked):
            if each is not None:
                known = each if known is None else known & each
        return pre, post, known


@contextmanager
def open_pair(
    pre_path: Path,
    post_path: Path,
    *,
    align: bool = False,
    scale: Sequence[float] | None = None,
    bands: tuple[int, int, int] | None = None,
    nodata: Sequence[float | None] = (),
    label: Path | None = None,
) -> Iterator[ScenePair]:
    """Open both images.

    Args:
        scale, bands, nodata: see `options.MapOptions`.
        label: an xBD label that places both, for files that have no place of their own.
    Raises:
        ImageError: not RGB, another size or grid, no common ground, a place that is needed and
            not there.
    """
    with ExitStack() as stack:
        if label or any(_is_raster(path) for path in (pre_path, post_path)):
            from runtime.source.raster import gdal_settings

            stack.enter_context(gdal_settings())
        asked = asked_of_each(bands, scale, nodata)
        pre, post = _opened(stack, zip((pre_path, post_path), asked, strict=True))
        notes: tuple[str, ...] = ()
        if label:
            from runtime.source.xbd_label import labelled_place

            check_label(label)
            _check_size(pre, post)
            place: Georeference | None = labelled_place(label, pre, post)
        elif (place := pre.georeference) or post.georeference or align:
            from runtime.source.grid import on_one_grid

            aligned = on_one_grid(pre, post, align)
            if aligned is not post:
                stack.callback(aligned.close)
            post = aligned
        else:
            _check_size(pre, post)
            notes = check_one_place(pre, post)
        _check_size(pre, post)
        yield ScenePair(pre, post, pre.height, pre.width, place, notes)


def pair_of(pre: Path, post: Path, options: MapOptions) -> AbstractContextManager[ScenePair]:
    """`open_pair`, read as the options say."""
    return open_pair(
        pre, post, align=options.align, scale=options.scale, bands=options.bands,
        nodata=options.nodata, label=options.label,
    )  # fmt: skip


def cached(pair: ScenePair, height: int) -> AbstractContextManager[Any]:
    """While windows of this height are read from left to right, row by row: what is decoded for
    one row serves the next, as far as that takes no more memory than is bearable.
    """
    needed = sum(source.decoded_bytes(height) for source in (pair.pre, pair.post))
    if not needed:
        return nullcontext()
    from runtime.source.raster import gdal_settings

    return gdal_settings(needed)


def _opened(stack: ExitStack, images: Iterable[tuple[Path, Asked]]) -> list[Source]:
    """Both, or one error for both that need a scale."""
    opened: list[Source] = []
    missing: list[NeedsScale] = []
    for path, asked in images:
        try:
            opened.append(open_source(path, asked))
            stack.callback(opened[-1].close)
        except NeedsScale as error:
            missing.append(error)
    if missing:
        raise of_both(missing)
    return opened


def open_source(path: Path, asked: Asked) -> Source:
    """Pictures and, without GDAL, TIFFs are decoded whole; other rasters are read in windows.

    Raises ImageError for a file that is no RGB image, ConfigError for a wrong scale.
    """
    if _is_raster(path):
        from runtime.source.raster import open_raster

        return open_raster(path, asked)
    return open_picture(path, asked)


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

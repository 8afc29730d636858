"""The pair on one grid: compared, and with --align the second warped onto the first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds

from runtime.errors import ImageError, reason
from runtime.raster.georeference import Georeference
from runtime.raster.source import Scale, Source, as_source, open_source

TOLERANCE = 0.1
"""Pixels that two grids may be apart at a corner and count as one."""


@dataclass(frozen=True, eq=False)
class ScenePair:
    """Two rasters of `height` x `width` pixels on one grid."""

    pre: Source
    post: Source
    height: int
    width: int
    georeference: Georeference

    def read(
        self, top: int, left: int, height: int, width: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_] | None]:
        """pre and post [height,width,3], and where both are data; None: everywhere."""
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
    georeference: Georeference | None = None,
) -> Iterator[ScenePair]:
    """Open both rasters.

    Args:
        georeference: of both images, for files that hold none.
    Raises:
        ImageError: no coordinates, another grid, no common ground, not RGB.
    """
    with ExitStack() as stack:
        pre, post = open_source(pre_path, scale), open_source(post_path, scale)
        stack.callback(pre.dataset.close)
        stack.callback(post.dataset.close)
        if georeference:
            _check_size(pre, post)
        else:
            georeference = _georeference(pre)
            _georeference(post)
            if found := differences(pre.dataset, post.dataset):
                _check_overlap(pre, post)
                if not align:
                    raise ImageError(
                        f"{post_path} is on another grid than {pre_path}: {found}; "
                        "--align warps it onto that grid"
                    )
                post = _aligned(pre, post, scale)
                stack.callback(post.dataset.close)
        yield ScenePair(pre, post, pre.dataset.height, pre.dataset.width, georeference)


def differences(pre: Any, post: Any) -> str:
    """What sets the grid of `post` apart from that of `pre`; empty if nothing does."""
    found = []
    if pre.crs != post.crs:
        found.append(f"CRS {_name(post.crs)}, not {_name(pre.crs)}")
    if pre.shape != post.shape:
        sizes = [f"{each.height}x{each.width}" for each in (post, pre)]
        found.append(f"{sizes[0]} pixels (height x width), not {sizes[1]}")
    if pre.crs == post.crs:
        first, second = (np.reshape(each.transform, (3, 3)) for each in (pre, post))
        corners = np.array([(x, y, 1) for x in (0, pre.width) for y in (0, pre.height)])
        apart = corners @ (np.linalg.solve(first, second) - np.eye(3)).T
        if np.abs(apart).max() > TOLERANCE:
            size = [f"{abs(each.transform.a):.6g}" for each in (post, pre)]
            if size[0] != size[1]:
                found.append(f"pixels of {size[0]}, not {size[1]}")
            x, y, _ = apart[0]
            found.append(f"its corner {x:+.1f} columns and {y:+.1f} rows away")
    return "; ".join(found)


def _georeference(source: Source) -> Georeference:
    dataset = source.dataset
    if dataset.crs is None or dataset.transform == Affine.identity():
        missing = "no CRS" if dataset.crs is None else "no geotransform"
        raise ImageError(
            f"{source.path}: {missing}, so its place on the ground is unknown; assign it with "
            f"gdal_translate -a_srs EPSG:CODE -a_ullr LEFT TOP RIGHT BOTTOM {source.path} "
            f"{source.path.stem}-placed.tif"
        )
    return Georeference(dataset.crs.to_wkt(), tuple(dataset.transform)[:6])


def _check_size(pre: Source, post: Source) -> None:
    if pre.dataset.shape != post.dataset.shape:
        sizes = [f"{each.dataset.height}x{each.dataset.width}" for each in (post, pre)]
        raise ImageError(
            f"{post.path}: {sizes[0]}, but {pre.path} is {sizes[1]} (height x width); "
            "expected two images of one size that show the same ground"
        )


def _check_overlap(pre: Source, post: Source) -> None:
    try:
        left, bottom, right, top = transform_bounds(
            post.dataset.crs, pre.dataset.crs, *post.dataset.bounds
        )
    except RasterioError as error:
        raise ImageError(
            f"{post.path}: its place cannot be computed in the CRS of {pre.path} ({reason(error)})"
        ) from error
    here = pre.dataset.bounds
    low, high = sorted((here.bottom, here.top))
    if not (left < here.right and right > here.left and bottom < high and top > low):
        raise ImageError(
            f"{post.path} shows none of the ground of {pre.path}: {left:.6g} to {right:.6g} and "
            f"{bottom:.6g} to {top:.6g} in its CRS, that one {here.left:.6g} to {here.right:.6g} "
            f"and {low:.6g} to {high:.6g}; expected images of one place"
        )


def _aligned(pre: Source, post: Source, scale: Scale | None) -> Source:
    """`post`, resampled bilinearly as it is read; outside of it nothing is data."""
    grid = pre.dataset
    warped = WarpedVRT(
        post.dataset,
        crs=grid.crs,
        transform=grid.transform,
        width=grid.width,
        height=grid.height,
        resampling=Resampling.bilinear,
        add_alpha=post.alpha is None,
    )
    return replace(as_source(post.path, warped, scale), bands=post.bands)


def _name(crs: Any) -> str:
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else crs.to_wkt().split('"')[1]

"""The pair on one grid: compared, and with --align the second warped onto the first."""

from __future__ import annotations

from typing import Any

import numpy as np
from rasterio.errors import RasterioError
from rasterio.warp import transform_bounds

from runtime.errors import ImageError, reason
from runtime.source.aligned import aligned
from runtime.source.contract import Source
from runtime.source.raster import Raster, without_place

TOLERANCE = 0.1
"""Pixels that two grids may be apart at a corner and count as one."""


def on_one_grid(pre: Source, post: Source, align: bool) -> Source:
    """`post` on the grid of `pre`: itself, or warped as it is read where `align` allows that.

    Raises ImageError: no coordinates, another grid, no common ground.
    """
    first, second = _placed(pre), _placed(post)
    found = differences(first.dataset, second.dataset)
    if not found:
        return post
    _check_overlap(first, second)
    if not align:
        raise ImageError(
            f"{post.path} is on another grid than {pre.path}: {found}; "
            "--align warps it onto that grid"
        )
    return aligned(second, first)


def _placed(source: Source) -> Raster:
    if not isinstance(source, Raster) or source.georeference is None:
        raise ImageError(without_place(source.path, "no CRS"))
    return source


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


def _check_overlap(pre: Raster, post: Raster) -> None:
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


def _name(crs: Any) -> str:
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else crs.to_wkt().split('"')[1]

"""The pair on one grid: compared, and with --align the second warped onto the first."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from runtime.errors import ConfigError, ImageError, reason
from runtime.source.aligned import aligned
from runtime.source.contract import Source
from runtime.source.georeference import WGS84, Georeference, reproject
from runtime.source.globe import CIRCLE, beside, period_of
from runtime.source.place import name_of, without_place
from runtime.source.raster import Raster

TOLERANCE = 0.1
"""Pixels that two grids may be apart at a corner and count as one."""

SAMPLES = 21
"""Points a side of an image that say where it lies: a straight edge is a curve in another CRS."""


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
    return aligned(second, _unbroken(first, second), first)


def _placed(source: Source) -> Raster:
    if not isinstance(source, Raster) or source.georeference is None:
        raise ImageError(without_place(source.path, "no CRS"))
    return source


def differences(pre: Any, post: Any) -> str:
    """What sets the grid of `post` apart from that of `pre`; empty if nothing does."""
    found = []
    one_crs = same_crs(pre, post)
    if not one_crs:
        found.append(f"CRS {name_of(post.crs)}, not {name_of(pre.crs)}")
    if pre.shape != post.shape:
        sizes = [f"{each.height}x{each.width}" for each in (post, pre)]
        found.append(f"{sizes[0]} pixels (height x width), not {sizes[1]}")
    if one_crs:
        corners = np.array([(x, y) for x in (0, pre.width) for y in (0, pre.height)])
        apart = _pixels_in(pre, _place(post).to_map(corners)) - corners
        if np.abs(apart).max() > TOLERANCE:
            size = [f"{np.hypot(each.transform.a, each.transform.d):.6g}" for each in (post, pre)]
            if size[0] != size[1]:
                found.append(f"pixels of {size[0]}, not {size[1]}")
            x, y = apart[0]
            found.append(f"its corner {x:+.1f} columns and {y:+.1f} rows away")
    return "; ".join(found)


def same_crs(pre: Any, post: Any) -> bool:
    """Whether two datasets' coordinates are of one CRS, however their files put it.

    Axis order does not matter: GDAL gives x and y. Two CRSs of one definition whose datums
    differ are two, for then PROJ moves points between them.
    """
    first, second = pre.crs, post.crs
    if first == second or (first.to_epsg() and first.to_epsg() == second.to_epsg()):
        return True
    if first.to_proj4() != second.to_proj4():
        return False
    here = _samples(post)
    try:
        moved = reproject(here, second.to_wkt(), first.to_wkt())
    except ConfigError:
        return False
    apart = _pixels_in(pre, moved) - _pixels_in(pre, here)
    return bool(np.abs(apart).max() < TOLERANCE / 10)


def _check_overlap(pre: Raster, post: Raster) -> None:
    grid = pre.dataset
    try:
        points = reproject(_samples(post.dataset), post.dataset.crs.to_wkt(), grid.crs.to_wkt())
    except ConfigError as error:
        raise ImageError(
            f"{post.path}: its place cannot be computed in the CRS of {pre.path} ({reason(error)})"
        ) from error
    points = points[np.isfinite(points).all(axis=1)]
    pixels = _pixels_in(grid, points)
    size = grid.width, grid.height
    if len(pixels) and ((pixels.max(axis=0) > 0) & (pixels.min(axis=0) < size)).all():
        return
    here = _samples(grid)
    theirs = "outside of its CRS"
    if len(points):
        (left, bottom), (right, top) = points.min(axis=0), points.max(axis=0)
        theirs = f"{left:.6g} to {right:.6g} and {bottom:.6g} to {top:.6g} in its CRS"
    (left, bottom), (right, top) = here.min(axis=0), here.max(axis=0)
    raise ImageError(
        f"{post.path} shows none of the ground of {pre.path}: {theirs}, that one {left:.6g} to "
        f"{right:.6g} and {bottom:.6g} to {top:.6g}; expected images of one place"
    )


def _place(dataset: Any) -> Georeference:
    return Georeference(dataset.crs.to_wkt(), tuple(dataset.transform)[:6])


def _samples(dataset: Any) -> NDArray[np.float64]:
    """[N,2] x and y all over an image, its corners among them."""
    columns, rows = np.meshgrid(
        np.linspace(0, dataset.width, SAMPLES), np.linspace(0, dataset.height, SAMPLES)
    )
    return _place(dataset).to_map(np.column_stack([columns.ravel(), rows.ravel()]))


def _pixels_in(dataset: Any, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N,2] columns and rows of points in the dataset's CRS, on its side of the globe."""
    place = _place(dataset)
    period = period_of(place.crs_wkt)
    if period:
        centre = place.to_map(np.array([[dataset.width / 2, dataset.height / 2]]))[0, 0]
        points = np.column_stack([beside(points[:, 0], centre, period), points[:, 1]])
    return place.to_pixels(points)


def _unbroken(pre: Raster, post: Raster) -> Georeference:
    """The place of `post`, or the same where GDAL would put one side of it round the world.

    In one CRS GDAL finds nothing a whole turn away. In two it looks for a place where a CRS has
    it, at -179.9 and never at 180.1: counted from another prime meridian, the image lies far
    from that edge.
    Raises ImageError where there is no such CRS.
    """
    crs, place = post.dataset.crs, _place(post.dataset)
    samples = _samples(post.dataset)
    period, middle = period_of(place.crs_wkt), samples[:, :1].mean(axis=0)
    if period is None:
        return place
    if same_crs(pre.dataset, post.dataset):
        (shift,) = beside(middle, float(_samples(pre.dataset)[:, 0].mean()), period) - middle
        return _taken_for(pre.dataset.crs, place, shift) if shift else place
    degrees = reproject(samples, place.crs_wkt, WGS84)
    inside = np.column_stack([beside(degrees[:, 0], 0.0, CIRCLE), degrees[:, 1]])
    back = place.to_pixels(reproject(inside, WGS84, place.crs_wkt))
    broken = np.abs(back - place.to_pixels(samples)).max() > 1
    if pre.dataset.crs.is_geographic and crs.is_geographic:
        broken |= np.abs(_samples(pre.dataset)[:, 0]).max() > period / 2
    if not broken:
        return place
    turned = _turned(crs) if crs.is_geographic else None
    if turned is not None:
        (shift,) = beside(middle - period / 2, 0.0, period) - middle
        again = reproject(samples + np.array([shift, 0.0]), turned.to_wkt(), WGS84)
        again[:, 0] = beside(again[:, 0], degrees[:, 0], CIRCLE)
        if np.abs(again - degrees).max() < 1e-9:
            return _taken_for(turned, place, shift)
    raise ImageError(
        f"{post.path}: lies across the edge of its CRS {name_of(crs)}; warp it first with "
        f"gdalwarp -t_srs {name_of(pre.dataset.crs)} -r bilinear {post.path} "
        f"{post.path.stem}-warped.tif"
    )


def _taken_for(crs: Any, place: Georeference, shift: float) -> Georeference:
    a, b, c, d, e, f = place.transform
    return Georeference(crs.to_wkt(), (a, b, c + shift, d, e, f))


def _turned(crs: Any) -> Any:
    """A geographic CRS whose longitudes are counted from the other side of the globe."""
    wkt, found = re.subn(
        r'(PRIMEM\[)"[^"]*",([-+.\deE]+)',
        lambda match: f'{match[1]}"turned",{float(match[2]) + CIRCLE / 2}',
        crs.to_wkt(version="WKT2_2019"),
        count=1,
    )
    wkt = re.sub(r',\s*ID\["[^"]*",[^\]]*\]', "", wkt)
    return CRS.from_wkt(wkt) if found else None

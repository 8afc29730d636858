"""What a file says of its place: a georeference, or why it has none that can be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import Affine

from runtime.errors import ConfigError, ImageError
from runtime.source.georeference import WGS84, Georeference, reproject


def place_of(path: Path, dataset: Any) -> Georeference | None:
    """The place of an opened raster; None for a file that says nothing of it but a geotransform.

    Raises ImageError for a place that is told in a way that cannot be used: a CRS without a
    geotransform, ground control points, RPCs, a CRS apart from the globe.
    """
    if has_place(dataset):
        place = Georeference(dataset.crs.to_wkt(), tuple(dataset.transform)[:6])
        _check_on_globe(path, place, dataset.height, dataset.width)
        return place
    points, crs = dataset.gcps
    if points:
        raise ImageError(_unwarped(path, f"{len(points)} ground control points", "", points, crs))
    if dataset.rpcs:
        raise ImageError(_unwarped(path, "RPCs", "-rpc ", [], None))
    if dataset.crs is not None:
        raise ImageError(without_place(path, "no geotransform"))
    return None


def has_place(dataset: Any) -> bool:
    return dataset.crs is not None and dataset.transform != Affine.identity()


def without_place(path: Path, missing: str) -> str:
    """What to do about an image whose place on the ground is needed and not known."""
    return (
        f"{path}: {missing}, so its place on the ground is unknown; assign it with "
        f"gdal_translate -a_srs EPSG:CODE -a_ullr LEFT TOP RIGHT BOTTOM {path} "
        f"{path.stem}-placed.tif"
    )


def name_of(crs: Any) -> str:
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else crs.to_wkt().split('"')[1]


def _unwarped(path: Path, found: str, how: str, points: list[Any], crs: Any) -> str:
    where = f" in {name_of(crs)}" if crs else ""
    return (
        f"{path}: its place is told by {found}{where} and not by a geotransform; warp it to a map "
        f"with gdalwarp {how}-t_srs {_utm(points, crs)} -r bilinear {path} {path.stem}-warped.tif"
    )


def _utm(points: list[Any], crs: Any) -> str:
    """The zone of ground control points, or what stands for it."""
    if not points or not crs:
        return "EPSG:CODE"
    try:
        x, y = np.array([(each.x, each.y) for each in points], np.float64).mean(axis=0)
        ((longitude, latitude),) = reproject(np.array([[x, y]]), crs.to_wkt(), WGS84)
    except (ConfigError, CRSError):
        return "EPSG:CODE"
    if not np.isfinite([longitude, latitude]).all() or abs(latitude) > 84:
        return "EPSG:CODE"
    zone = int((longitude + 180) % 360 // 6) + 1
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"


def _check_on_globe(path: Path, place: Georeference, height: int, width: int) -> None:
    """Raises ImageError for coordinates that are no place on the earth."""
    centre = place.to_map(np.array([[width / 2, height / 2]]))
    name = name_of(CRS.from_wkt(place.crs_wkt))
    again = f"assign the right one with gdal_translate -a_srs EPSG:CODE {path} {path.stem}-crs.tif"
    try:
        ((longitude, latitude),) = reproject(centre, place.crs_wkt, WGS84)
    except ConfigError as error:
        raise ImageError(f"{path}: its CRS {name} has no way to WGS 84; {again}") from error
    if not (abs(latitude) <= 90 and abs(longitude) <= 540):
        x, y = centre[0]
        raise ImageError(
            f"{path}: its centre {x:.6g}, {y:.6g} is no place in its CRS {name}; {again}"
        )

"""A vector file of building footprints, read chunk by chunk onto a scene's pixels."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.buildings.vector_format import EXPECTED, checked
from runtime.errors import ConfigError, reason
from runtime.libraries import library
from runtime.source.georeference import FARTHEST, Georeference, reproject, short
from runtime.source.globe import beside, continuous, period_of

CHUNK = 50_000
"""Footprints read at a time. GeoJSON is parsed anew for each chunk, so it is not small."""

_POLYGONAL = ("Polygon", "MultiPolygon", "CurvePolygon", "MultiSurface")
_MIXED = ("Unknown", "GeometryCollection")


@dataclass(frozen=True)
class FootprintFile:
    """The one polygon layer of a vector file.

    opened: what GDAL opens. count: features. bounds: left, bottom, right, top in the layer's CRS.
    period: how far in x it is once round the world, where x goes round it.
    """

    path: Path
    opened: str
    layer: str
    crs: str
    count: int
    bounds: tuple[float, float, float, float]
    period: float | None

    def read(self, georeference: Georeference) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Feature numbers int64 [N], and object [N] shapely geometries in the scene's CRS.

        A geometry is None where the feature has none, or none in that CRS. ConfigError for one
        that is no polygon, or a file that breaks off.
        """
        for fids, geometry, _ in self.read_fields(georeference, ()):
            yield fids, geometry

    def read_fields(
        self, georeference: Georeference, names: Sequence[str]
    ) -> Iterator[tuple[NDArray[Any], NDArray[Any], dict[str, NDArray[Any]]]]:
        """The same with [N] values of those of the fields `names` (in lower case) that the layer
        has, in whatever case it has them, as GeoPackage takes them.

        ConfigError for a field that is there twice.
        """
        raw, shapely = library("pyogrio.raw"), library("shapely")
        columns = self._columns(names) if names else []
        for skip in range(0, self.count, CHUNK):
            try:
                with _quietly():
                    meta, fids, encoded, values = raw.read(
                        self.opened, layer=self.layer, columns=columns, force_2d=True,
                        return_fids=True, skip_features=skip, max_features=CHUNK,
                    )  # fmt: skip
                geometry = shapely.from_wkb(encoded)
            except (*_errors(), shapely.errors.GEOSException) as error:
                raise _unreadable(self.path, error) from error
            _check_polygons(self.path, fids, geometry)
            fields = dict(zip((str(each).lower() for each in meta["fields"]), values, strict=True))
            yield fids, _placed(geometry, self, georeference), fields

    def _columns(self, names: Sequence[str]) -> list[str]:
        """The layer's own spelling of those of `names` that it has."""
        try:
            with _quietly():
                fields = library("pyogrio").read_info(self.opened, layer=self.layer)["fields"]
        except _errors() as error:
            raise _unreadable(self.path, error) from error
        found = [each for each in map(str, fields) if each.lower() in names]
        if len({each.lower() for each in found}) < len(found):
            raise ConfigError(
                f"{self.path}: two of its columns {', '.join(found)} differ in case alone; keep "
                "one of them"
            )
        return found


def _placed(geometry: NDArray[Any], file: FootprintFile, place: Georeference) -> NDArray[Any]:
    """In the scene's CRS and on its side of the globe; None for what has no place there."""
    shapely = library("shapely")
    theirs, here = file.period, period_of(place.crs_wkt)
    if theirs:  # what was cut at the edge of their world is whole again
        geometry = continuous(geometry, theirs)
    points = reproject(shapely.get_coordinates(geometry), file.crs, place.crs_wkt)
    placed: NDArray[Any] = shapely.set_coordinates(geometry.copy(), points)
    placed[~(np.abs(shapely.bounds(placed)) < FARTHEST).all(axis=1)] = None
    return continuous(placed, here, place.transform[2]) if here else placed


def open_footprints(
    path: Path, height: int, width: int, georeference: Georeference
) -> FootprintFile:
    """Find the footprints and see that they can lie on a scene of height x width pixels.

    Raises ConfigError: unreadable, not one polygon layer, no CRS, no feature, elsewhere.
    """
    pyogrio = library("pyogrio")
    opened, driver = checked(path)
    try:
        with _quietly():
            layers = [(str(name), kind) for name, kind in pyogrio.list_layers(opened)]
            layer = _polygon_layer(path, layers)
            info = pyogrio.read_info(
                opened, layer=layer, force_feature_count=True, force_total_bounds=True
            )
    except _errors() as error:
        raise _unreadable(path, error) from error
    if info["driver"] != driver:
        raise ConfigError(f"{path}: GDAL takes it for {info['driver']}, it is {driver}; {EXPECTED}")
    if not info["crs"]:
        raise ConfigError(
            f"{path}: no CRS, so the footprints' place is unknown; assign it with "
            f"ogr2ogr -a_srs EPSG:CODE {path.stem}-placed.gpkg {path}"
        )
    if not info["features"] or info["total_bounds"] is None:
        raise ConfigError(f"{path}: layer {layer} is empty; expected building footprints")
    bounds = np.clip(info["total_bounds"], -FARTHEST, FARTHEST).tolist()
    try:
        found = FootprintFile(
            path, opened, layer, info["crs"], int(info["features"]), tuple(bounds),
            period_of(info["crs"]),
        )  # fmt: skip
        there = _over(found, found.bounds, height, width, georeference)
    except ConfigError as error:
        raise ConfigError(
            f"{path}: its CRS {short(info['crs'])} cannot be used with the scene's "
            f"({reason(error)}); assign the right one with ogr2ogr -a_srs EPSG:CODE "
            f"{path.stem}-placed.gpkg {path}"
        ) from error
    if not there:
        raise elsewhere(found, height, width, georeference)
    return found


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """GDAL's own account of odd content would reach the terminal as Python's warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _errors() -> tuple[type[Exception], ...]:
    """ValueError: of names that are not UTF-8, and of features that a header promises."""
    errors, inner = library("pyogrio.errors"), library("pyogrio._err")
    return errors.DataSourceError, errors.DataLayerError, inner.CPLE_BaseError, ValueError


def _unreadable(path: Path, error: Exception) -> ConfigError:
    return ConfigError(f"{path}: cannot be read as footprints ({reason(error)}); {EXPECTED}")


def _check_polygons(path: Path, fids: NDArray[Any], geometry: NDArray[Any]) -> None:
    shapely = library("shapely")
    kinds = shapely.GeometryType
    usable = (kinds.MISSING, kinds.POLYGON, kinds.MULTIPOLYGON)
    fine = np.isin(shapely.get_type_id(geometry), usable) | shapely.is_empty(geometry)
    if not fine.all():
        first = int(fine.argmin())
        raise ConfigError(
            f"{path}: feature {fids[first]} is a {geometry[first].geom_type}; "
            "footprints are polygons"
        )


def _polygon_layer(path: Path, layers: list[tuple[str, str | None]]) -> str:
    def plain(kind: str | None) -> str:
        return (kind or "").removeprefix("2.5D ").removeprefix("3D ").removesuffix(" ZM").strip()

    kinds = [(name, plain(kind).removesuffix(" Z").removesuffix(" M")) for name, kind in layers]
    polygonal = [name for name, kind in kinds if kind in _POLYGONAL]
    polygonal = polygonal or [name for name, kind in kinds if kind in _MIXED]
    if not polygonal:
        found = ", ".join(f"{name} ({kind or 'table'})" for name, kind in kinds) or "no layer"
        raise ConfigError(f"{path}: no layer of polygons; found {found}")
    if len(polygonal) > 1:
        raise ConfigError(
            f"{path}: {len(polygonal)} layers of polygons ({', '.join(polygonal)}), expected one; "
            f"copy it out with ogr2ogr footprints.gpkg {path} LAYER"
        )
    return polygonal[0]


def _over(
    found: FootprintFile,
    bounds: tuple[float, float, float, float],
    height: int,
    width: int,
    georeference: Georeference,
) -> bool:
    """Whether `bounds`, in the footprints' CRS, hold a part of the scene."""
    left, bottom, right, top = bounds
    scene = _scene_in(found, height, width, georeference)
    if not len(scene):
        return False
    x, y = scene.T
    if found.period:
        middle = x.mean()
        x = x + (beside(middle, (left + right) / 2, found.period) - middle)
    turns = (0.0,) if not found.period else (-found.period, 0.0, found.period)
    return bool(
        y.max() > bottom
        and y.min() < top
        and any(x.max() + each > left and x.min() + each < right for each in turns)
    )


def _scene_in(
    found: FootprintFile, height: int, width: int, georeference: Georeference
) -> NDArray[np.float64]:
    """[N,2] points all over the scene, in the footprints' CRS, on one side of the globe."""
    # A straight line in one CRS is a curve in another: more points than the corners.
    x, y = np.meshgrid(np.linspace(0, width, 21), np.linspace(0, height, 21))
    here = georeference.to_map(np.column_stack([x.ravel(), y.ravel()]))
    points = reproject(here, georeference.crs_wkt, found.crs)
    points = points[np.isfinite(points).all(axis=1)]
    if found.period and len(points):
        points = np.column_stack([beside(points[:, 0], points[0, 0], found.period), points[:, 1]])
    return points


def elsewhere(
    found: FootprintFile, height: int, width: int, georeference: Georeference
) -> ConfigError:
    theirs = found.bounds
    begin = (
        f"{found.path}: none of its {found.count} footprints lies on the scene: they reach from "
        f"{theirs[0]:.6g}, {theirs[1]:.6g} to {theirs[2]:.6g}, {theirs[3]:.6g}"
    )
    scene = _scene_in(found, height, width, georeference)
    if not len(scene):
        return ConfigError(
            f"{begin}, the scene lies outside of their CRS {short(found.crs)}; expected footprints "
            "of this place, in the CRS that their file names"
        )
    (left, bottom), (right, top) = scene.min(axis=0), scene.max(axis=0)
    swapped = (theirs[1], theirs[0], theirs[3], theirs[2])
    advice = "expected footprints of this place, in the CRS that their file names"
    if _over(found, swapped, height, width, georeference):
        advice = (
            "their x and y look swapped, x or longitude is expected first; write the file again "
            'with them the other way round (in QGIS: "Swap X and Y coordinates")'
        )
    return ConfigError(
        f"{begin}, the scene from {left:.6g}, {bottom:.6g} to {right:.6g}, {top:.6g} in their CRS; "
        f"{advice}"
    )

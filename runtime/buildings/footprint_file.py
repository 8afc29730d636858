"""A vector file of polygons, footprints or areas, read chunk by chunk onto a scene's ground."""

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
from runtime.buildings.whereabouts import Bounds, bounds_of, elsewhere, goes_round, is_over
from runtime.errors import ConfigError, reason
from runtime.libraries import library
from runtime.source.georeference import FARTHEST, Georeference, reproject, short
from runtime.source.globe import continuous, period_of

CHUNK = 50_000
"""Polygons read at a time. GeoJSON is parsed anew for each chunk, so it is not small."""

_POLYGONAL = ("Polygon", "MultiPolygon", "CurvePolygon", "MultiSurface")
_MIXED = ("Unknown", "GeometryCollection")

_INDEXED = ("GPKG", "FlatGeobuf")
_INDEXED_APART = ("ESRI Shapefile",)
"""Its index is a file beside it, which may be of a Shapefile that was there before."""

_FASTER_IN_ORDER = 4
"""Times the features of the scene: a file with less is read whole sooner than one by one."""

_EDGES = 32
"""Parts, at least, of an edge as long as a scene: each is straight to 1/8000 of the sagitta of an
edge across it, less than a centimetre for a scene of 100 km."""

MOST_ATTRIBUTES = 1_000
"""Columns of a layer. A GeoPackage holds twice as many, but not a few more of ours, either."""


@dataclass(frozen=True)
class Attribute:
    """A column that a layer has of its own. kind: NumPy's name of its values; "object": text."""

    name: str
    kind: str


@dataclass(frozen=True)
class FootprintFile:
    """The one polygon layer of a vector file.

    opened: what GDAL opens, with that driver. count: features. bounds: in the layer's CRS.
    period: how far in x it is once round the world, where x goes round it.
    attributes: numbers, truth values, text and, as text, dates and times. Lists and binary data
        are not among them.
    """

    path: Path
    opened: str
    driver: str
    layer: str
    crs: str
    count: int
    bounds: Bounds
    period: float | None
    attributes: tuple[Attribute, ...]

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
        columns = self._columns(names) if names else []
        for fids, geometry, fields in self._chunks(columns, None):
            lower = {name.lower(): values for name, values in fields.items()}
            yield fids, _placed(geometry, self, georeference), lower

    def read_over(
        self, height: int, width: int, georeference: Georeference, cut: bool = False
    ) -> Iterator[tuple[NDArray[Any], NDArray[Any], list[NDArray[Any]]]]:
        """The same, of what may lie on a scene of height x width pixels, and no more than a few
        others; with the values of each of the `attributes`, [N], None or NaN for none.

        cut: whether polygons may be larger than a scene, see `_near`; others keep their points.
        """
        bounds = bounds_of(self, height, width, georeference)
        columns = [each.name for each in self.attributes]
        for fids, geometry, fields in self._chunks(columns, bounds):
            if len(fids):
                _check_whole_numbers(self.path, self.attributes, fields)
                placed = _placed(geometry, self, georeference, bounds if cut else None)
                yield fids, placed, [fields[name] for name in columns]

    def _chunks(
        self, columns: Sequence[str], bounds: Bounds | None
    ) -> Iterator[tuple[NDArray[Any], NDArray[Any], dict[str, NDArray[Any]]]]:
        """Feature numbers, geometry as it is in the file, and values by the column's name.

        bounds: features that do not meet them are left out.
        """
        raw, shapely = library("pyogrio.raw"), library("shapely")
        if bounds and goes_round(self.bounds, self.period):
            bounds = (self.bounds[0], bounds[1], self.bounds[2], bounds[3])
        for request in self._requests(bounds):
            try:
                with _quietly():
                    meta, fids, encoded, values = raw.read(
                        self.opened, layer=self.layer, columns=columns, force_2d=True,
                        return_fids=True, datetime_as_string=True, **request,
                    )  # fmt: skip
                geometry = shapely.from_wkb(encoded)
            except (*_errors(), shapely.errors.GEOSException) as error:
                raise _unreadable(self.path, error) from error
            here = slice(None) if bounds is None else _meeting(geometry, bounds)
            _check_polygons(self.path, fids[here], geometry[here])
            named = zip(map(str, meta["fields"]), values, strict=True)
            yield fids[here], geometry[here], {name: each[here] for name, each in named}
            if "bbox" in request and len(fids) < CHUNK:
                return

    def _requests(self, bounds: Bounds | None) -> Iterator[dict[str, Any]]:
        """What GDAL is asked for, one part of the file after the other, in its order."""
        parts: list[dict[str, Any]] = [
            {"skip_features": skip, "max_features": CHUNK} for skip in range(0, self.count, CHUNK)
        ]
        if bounds and _within(self.bounds, bounds):
            pass  # all of them meet it
        elif bounds and self.driver in _INDEXED:  # the index has an order of its own
            found = self._found_by_index(bounds)
            if len(found) * _FASTER_IN_ORDER < self.count:
                parts = [
                    {"fids": found[begin : begin + CHUNK]} for begin in range(0, len(found), CHUNK)
                ]
        elif bounds and self.driver not in _INDEXED_APART:
            parts = [{**part, "bbox": bounds} for part in parts]
        yield from parts

    def _found_by_index(self, bounds: Bounds) -> NDArray[np.int64]:
        """Feature numbers, ascending."""
        try:
            with _quietly():
                found = library("pyogrio.raw").read(
                    self.opened, layer=self.layer, columns=[], read_geometry=False,
                    return_fids=True, bbox=bounds,
                )  # fmt: skip
        except _errors() as error:
            raise _unreadable(self.path, error) from error
        return np.sort(found[1])

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


def _check_whole_numbers(
    path: Path, attributes: Sequence[Attribute], fields: dict[str, NDArray[Any]]
) -> None:
    """Raises ConfigError for those that GDAL's reader gives as floating point, as it does where
    some are missing, and that floating point cannot tell from their neighbours."""
    for each in attributes:
        values = fields[each.name]
        whole = each.kind.startswith(("int", "uint"))
        if whole and values.dtype.kind == "f" and (np.abs(values) >= 2.0**53).any():
            raise ConfigError(
                f"{path}: column {each.name} has whole numbers beyond {2**53} and rows without "
                "one, which cannot be read exactly; give every row a number, or turn the column "
                "into text"
            )


def _meeting(geometry: NDArray[Any], bounds: Bounds) -> NDArray[np.intp]:
    left, bottom, right, top = library("shapely").bounds(geometry).T
    here = (left <= bounds[2]) & (right >= bounds[0]) & (bottom <= bounds[3]) & (top >= bounds[1])
    return np.flatnonzero(here)


def _within(inner: Bounds, outer: Bounds) -> bool:
    left, bottom, right, top = outer
    return left <= inner[0] and bottom <= inner[1] and right >= inner[2] and top >= inner[3]


def _near(geometry: NDArray[Any], bounds: Bounds | None) -> NDArray[Any]:
    """Large polygons cut to the scene's surroundings, with points along their long edges: what is
    straight in one CRS is a curve in another, and what is far away may have no place there.

    Polygons that are not valid stay as they are, and are told by whoever minds.
    """
    if bounds is None:
        return geometry
    shapely = library("shapely")
    left, bottom, right, top = bounds
    size = max(right - left, top - bottom)
    around = shapely.box(left - size, bottom - size, right + size, top + size)
    own = shapely.bounds(geometry)
    longest = np.maximum(own[:, 2] - own[:, 0], own[:, 3] - own[:, 1])
    step = min(right - left, top - bottom) / _EDGES
    long = np.flatnonzero((longest > step) & shapely.is_valid(geometry))
    large = long[longest[long] > 3 * size]
    geometry = geometry.copy()
    geometry[large] = [_polygons(each) for each in shapely.intersection(geometry[large], around)]
    geometry[long] = shapely.segmentize(geometry[long], step)
    return geometry


def _polygons(geometry: Any) -> Any:
    """Of what an intersection leaves, which may be lines and points, too."""
    shapely = library("shapely")
    parts = shapely.get_parts(geometry)
    return shapely.multipolygons(parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON])


def _placed(
    geometry: NDArray[Any], file: FootprintFile, place: Georeference, bounds: Bounds | None = None
) -> NDArray[Any]:
    """In the scene's CRS and on its side of the globe; None for what has no place there.

    bounds: to cut to, in the file's CRS.
    """
    shapely = library("shapely")
    theirs, here = file.period, period_of(place.crs_wkt)
    if theirs:  # what was cut at the edge of their world is whole again
        geometry = continuous(geometry, theirs)
    geometry = _near(geometry, bounds)
    coordinates, shape_of = shapely.get_coordinates(geometry, return_index=True)
    points = reproject(coordinates, file.crs, place.crs_wkt)
    placed: NDArray[Any] = geometry.copy()
    if points is not coordinates:
        placed = shapely.set_coordinates(placed, points)
    if bounds is None:  # what is cut is looked at for being valid
        placed[shape_of[~np.isfinite(points).all(axis=1)]] = None  # bounds do not tell of NaN
    placed[~(np.abs(shapely.bounds(placed)) < FARTHEST).all(axis=1)] = None
    return continuous(placed, here, place.transform[2]) if here else placed


def open_footprints(
    path: Path, height: int, width: int, georeference: Georeference
) -> FootprintFile:
    """Find the polygons and see that they can lie on a scene of height x width pixels.

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
            f"{path}: no CRS, so the place of its polygons is unknown; assign it with "
            f"ogr2ogr -a_srs EPSG:CODE {path.stem}-placed.gpkg {path}"
        )
    if not info["features"] or info["total_bounds"] is None or np.isnan(info["total_bounds"]).all():
        raise ConfigError(f"{path}: layer {layer} is empty; expected polygons")
    bounds = np.clip(info["total_bounds"], -FARTHEST, FARTHEST).tolist()
    try:
        found = FootprintFile(
            path, opened, driver, layer, info["crs"], int(info["features"]), tuple(bounds),
            period_of(info["crs"]), _attributes(path, info),
        )  # fmt: skip
        there = is_over(found, found.bounds, height, width, georeference)
    except ConfigError as error:
        raise ConfigError(
            f"{path}: its CRS {short(info['crs'])} cannot be used with the scene's "
            f"({reason(error)}); assign the right one with ogr2ogr -a_srs EPSG:CODE "
            f"{path.stem}-placed.gpkg {path}"
        ) from error
    if not there:
        raise elsewhere(found, height, width, georeference)
    return found


def _attributes(path: Path, info: dict[str, Any]) -> tuple[Attribute, ...]:
    found = []
    kinds = list(info["dtypes"])
    types = info.get("ogr_types", kinds)  # older releases of pyogrio tell less
    for name, kind, known in zip(map(str, info["fields"]), map(str, kinds), types, strict=True):
        if kind.startswith("list") or known == "OFTBinary":
            continue
        plain = kind.startswith(("bool", "int", "uint", "float"))
        found.append(Attribute(name, kind if plain else "object"))
    if len(found) > MOST_ATTRIBUTES:
        raise ConfigError(
            f"{path}: {len(found)} columns, expected at most {MOST_ATTRIBUTES}; copy those that "
            f"you need with ogr2ogr -select COLUMN,... {path.stem}-few.gpkg {path}"
        )
    return tuple(found)


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
    return ConfigError(f"{path}: cannot be read as polygons ({reason(error)}); {EXPECTED}")


def _check_polygons(path: Path, fids: NDArray[Any], geometry: NDArray[Any]) -> None:
    shapely = library("shapely")
    kinds = shapely.GeometryType
    usable = (kinds.MISSING, kinds.POLYGON, kinds.MULTIPOLYGON)
    fine = np.isin(shapely.get_type_id(geometry), usable) | shapely.is_empty(geometry)
    if not fine.all():
        first = int(fine.argmin())
        raise ConfigError(
            f"{path}: feature {fids[first]} is a {geometry[first].geom_type}; expected polygons"
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

"""Buildings of a map as the layers of each convention, written as they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.damage import NODATA_NAME, UNCLASSIFIED
from runtime.deliver.context import Context
from runtime.deliver.conventions import EMS_AFTER, EMS_BEFORE, Convention, ours
from runtime.deliver.footprint import Footprint
from runtime.deliver.provenance import tag_geopackage
from runtime.finished.buildings import Buildings, buildings_of
from runtime.finished.images import names_of
from runtime.libraries import library
from runtime.output.geopackage import GEOMETRY_COLUMN, TIME, Layer
from runtime.output.style import OF_FOOTPRINTS, add_style
from runtime.output.tables import Table, turned
from runtime.output.vectors import DECIMALS, degrees_of
from runtime.source.georeference import WGS84
from runtime.source.globe import cut

EMS_SOURCES = "source"


def write_convention(
    convention: Convention, context: Context, footprint: Footprint, path: Path
) -> None:
    """In longitude and latitude."""
    kind = "Point" if convention.points else "MultiPolygon"
    taken = context.taken
    layer = Layer(path, _wgs84(), kind, convention.layer)
    for chunk in _chunks(context):
        geometry = _geometry(chunk, context, convention.points)
        layer.add(Table(geometry, convention.columns(chunk, taken)))
    layer.finish()
    if convention.file == "ems.gpkg":
        _write_sources(context, path)
        _write_areas(footprint, path)
    tag(context, path)


def write_buildings(context: Context, path: Path) -> None:
    """The map's own layer as it stands, in the map's CRS and with its style."""
    assert context.map.place is not None
    layer = Layer(path, context.map.place.crs_wkt, "MultiPolygon")
    for chunk in _chunks(context):
        columns = {
            "damage": np.where(chunk.status == UNCLASSIFIED, "unknown", chunk.status),
            "damage_class": chunk.damage,
            **ours(chunk),
        }
        layer.add(Table(chunk.geometry, columns))
    layer.finish()
    add_style(path, "buildings", GEOMETRY_COLUMN, TIME, OF_FOOTPRINTS)
    tag(context, path)


def _chunks(context: Context) -> Any:
    """At least one, so that a map without a building has its layers, too."""
    found = False
    for chunk in buildings_of(context.map):
        found = True
        yield chunk
    if not found:
        yield _none()


def _none() -> Buildings:
    empty = np.empty(0, object)
    return Buildings(
        np.empty(0, np.int64), empty, np.empty(0, np.int16), np.empty(0, np.int16),
        np.empty(0, bool), np.empty(0, bool), np.empty(0), np.empty(0), empty, empty, empty,
    )  # fmt: skip


def _geometry(chunk: Buildings, context: Context, points: bool) -> NDArray[Any]:
    shapely = library("shapely")
    assert context.map.place is not None
    degrees = turned(cut(degrees_of(chunk.geometry, context.map.place), DECIMALS))
    if points:
        degrees = shapely.point_on_surface(degrees)
    return np.asarray(degrees, object)


def _write_sources(context: Context, path: Path) -> None:
    """The table `source`, that `or_src_id` and `dmg_src_id` point to."""
    from runtime.sheet.ground import ground_of

    ground = ground_of(context.map)
    assert ground is not None
    taken = [context.images[0].taken, context.taken]
    names = names_of(context.images)
    columns = {
        "source_nam": np.array(list(names.values()), object),
        "src_date": np.array([_day(each) for each in taken], object),
        "source_tm": np.array(
            [f"T{each[11:19]}Z" if each and "T" in each else None for each in taken], object
        ),
        "sensor_gsd": np.full(2, f"{max(ground.pixel_m):.2f} m", object),
        "eventphase": np.array(["Pre-event", "Post-event"], object),
        "src_id": np.array([EMS_BEFORE, EMS_AFTER], np.int32),
    }
    layer = Layer(path, None, None, EMS_SOURCES, added=True)
    layer.add(Table(np.full(2, None, object), columns))
    layer.finish()


def _write_areas(footprint: Footprint, path: Path) -> None:
    """The scene, and the ground in it of which nothing is known."""
    for name, polygon in (("areaOfInterestA", footprint.outline),
                          ("notAnalysedA", footprint.unknown)):  # fmt: skip
        shapes = np.array([] if polygon is None else [polygon], object)
        columns = {"notation": np.full(len(shapes), _NOTATION[name], object)}
        layer = Layer(path, _wgs84(), "MultiPolygon", name, added=True)
        layer.add(Table(shapes, columns))
        layer.finish()


_NOTATION = {"areaOfInterestA": "Area of interest", "notAnalysedA": f"Not Analysed ({NODATA_NAME})"}


def _day(taken: str | None) -> str | None:
    """dd/mm/yyyy."""
    return "/".join(reversed(taken[:10].split("-"))) if taken else None


def tag(context: Context, path: Path) -> None:
    """Where the file comes from, in its own metadata."""
    tag_geopackage(path, context.provenance, f"{context.made:%Y-%m-%dT%H:%M:%S}.000Z")


def _wgs84() -> str:
    return str(library("rasterio.crs").CRS.from_user_input(WGS84).to_wkt())

"""Layers of a GeoPackage, such as a scene's buildings.

GDAL makes the package and each layer, without a row; the rows are written with SQLite alone, which
takes a third of the time that GDAL needs to append them and their index.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import reason
from runtime.libraries import library
from runtime.output.blobs import blobs_of
from runtime.output.spatial_index import SpatialIndex
from runtime.output.tables import Columns, Table

LAYER = "buildings"
GEOMETRY_COLUMN = "geom"

TIME = "1970-01-01T00:00:00.000Z"
"""Of every table's last change: the same buildings make the same bytes, whenever it is."""

VERSION = "1.2"
"""Of the format: GDAL's own choice is the newest, of which an older GIS warns."""


class Layer:
    """A layer in a GeoPackage at `path`, which nobody else may have open. It is whole after
    `finish`, and there at all once a table was added.

    geometry_type: "Polygon" or "MultiPolygon"; polygons become multipolygons in that layer. None:
    a table without geometry.
    added: the package is there already, with other layers.
    """

    def __init__(
        self,
        path: Path,
        crs_wkt: str | None,
        geometry_type: str | None,
        name: str = LAYER,
        added: bool = False,
    ) -> None:
        self.path = path
        self._name = name
        self._added = added
        self._crs_wkt = crs_wkt
        self._geometry_type = geometry_type
        self._made: _Made | None = None

    def add(self, table: Table) -> None:
        """One without a row makes the layer, too. Raises OSError where it cannot be written."""
        if self._made is None:
            self._make(table.columns)
        with self._open() as base:
            self._made = self._made or _Made(base, self._name, self._geometry_type)
            self._made.add(base, table)

    def finish(self) -> None:
        """The same errors."""
        if self._made:
            with self._open() as base:
                self._made.finish(base)

    def _make(self, columns: Columns) -> None:
        """The layer without a row."""
        raw, errors = library("pyogrio.raw"), library("pyogrio.errors")
        library("pyogrio").set_gdal_config_options({"OGR_CURRENT_DATE": TIME})
        new: dict[str, Any] = {}
        if self._geometry_type:
            new["layer_options"] = {"GEOMETRY_NAME": GEOMETRY_COLUMN}
        if not self._added:
            new["dataset_options"] = {"VERSION": VERSION}
        try:
            raw.write(
                str(self.path),
                geometry=np.empty(0, object) if self._geometry_type else None,
                geometry_type=self._geometry_type,
                field_data=[np.ma.getdata(each)[:0] for each in columns.values()],
                fields=np.array(list(columns), object),
                layer=self._name,
                driver="GPKG",
                crs=self._crs_wkt,
                **new,
            )
        except (errors.DataSourceError, errors.DataLayerError) as error:
            raise self._failed(error) from error

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One transaction. It is not synced: the file is, before it takes its name."""
        try:
            with contextlib.closing(sqlite3.connect(self.path)) as base, base:
                base.execute("PRAGMA journal_mode = MEMORY")
                base.execute("PRAGMA synchronous = OFF")
                yield base
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> OSError:
        return OSError(f"{self.path}: the GeoPackage cannot be written ({reason(error)})")


class _Made:
    """A layer that GDAL made, while rows are added: without its triggers, which count and index
    row by row and call functions that SQLite alone has not."""

    def __init__(self, base: sqlite3.Connection, name: str, geometry_type: str | None) -> None:
        self._name = name
        self._multi = geometry_type == "MultiPolygon"
        self._count = 0
        self._srs = 0
        self._index: SpatialIndex | None = None
        if geometry_type:
            (self._srs,) = base.execute(
                "SELECT srs_id FROM gpkg_geometry_columns WHERE table_name = ?", (name,)
            ).fetchone()
            self._index = SpatialIndex(base, f"rtree_{name}_{GEOMETRY_COLUMN}")
        self._triggers = base.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?", (name,)
        ).fetchall()
        for trigger, _ in self._triggers:
            base.execute(f"DROP TRIGGER {_quoted(trigger)}")

    def add(self, base: sqlite3.Connection, table: Table) -> None:
        numbers = range(self._count + 1, self._count + len(table.geometry) + 1)
        columns: list[Sequence[Any]] = [numbers]
        if self._index:
            blobs, bounds = blobs_of(table.geometry, self._srs, self._multi)
            columns.append(blobs)
            self._index.add(base, np.array(numbers), bounds)
        columns += map(_values, table.columns.values())
        marks = ", ".join("?" * len(columns))
        rows = zip(*columns, strict=True)
        base.executemany(f"INSERT INTO {_quoted(self._name)} VALUES ({marks})", rows)
        self._count += len(numbers)

    def finish(self, base: sqlite3.Connection) -> None:
        if self._index and (extent := self._index.finish(base)):
            base.execute(
                "UPDATE gpkg_contents SET min_x = ?, min_y = ?, max_x = ?, max_y = ? "
                "WHERE table_name = ?",
                (*extent, self._name),
            )
        base.execute(
            "UPDATE gpkg_ogr_contents SET feature_count = ? WHERE table_name = ?",
            (self._count, self._name),
        )
        for _, trigger in self._triggers:
            base.execute(trigger)


def _values(column: NDArray[Any]) -> list[Any]:
    """SQLite takes NaN for null."""
    values: list[Any] = np.ma.getdata(column).tolist()
    for index in np.flatnonzero(np.ma.getmaskarray(column)).tolist():
        values[index] = None
    return values


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

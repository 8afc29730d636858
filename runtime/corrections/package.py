"""A GeoPackage that needs no library but sqlite3: its own tables, beside a finished map's.

Its CRS is that of the map's GeoPackage, row by row; a picture's is an undefined plane of pixels.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from runtime.corrections.blob import MULTIPOLYGON, POLYGON
from runtime.corrections.finished_map import FinishedMap
from runtime.errors import ConfigError, reason
from runtime.output.geopackage import GEOMETRY_COLUMN, LAYER

PIXELS = -1
"""The SRS of what has no place: GeoPackage calls it undefined Cartesian."""

_APPLICATION, _VERSION = 0x47504B47, 10200
"""What GeoPackages of version 1.2 have in their header."""

_SRS = """CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT NOT NULL,
srs_id INTEGER NOT NULL PRIMARY KEY, organization TEXT NOT NULL,
organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT)"""

_UNDEFINED = (
    ("Undefined Cartesian SRS", -1, "NONE", -1, "undefined", "undefined Cartesian system"),
    ("Undefined geographic SRS", 0, "NONE", 0, "undefined", "undefined geographic system"),
    (
        "WGS 84 geodetic", 4326, "EPSG", 4326,
        'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,'
        'AUTHORITY["EPSG","7030"]],AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,'
        'AUTHORITY["EPSG","8901"]],UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]],'
        'AXIS["Latitude",NORTH],AXIS["Longitude",EAST],AUTHORITY["EPSG","4326"]]',
        "longitude/latitude coordinates in decimal degrees on the WGS 84 spheroid",
    ),
)  # fmt: skip

_TABLES = (
    """CREATE TABLE gpkg_contents (table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL,
    identifier TEXT UNIQUE, description TEXT DEFAULT '',
    last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
    min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER,
    CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id))""",
    """CREATE TABLE gpkg_geometry_columns (table_name TEXT NOT NULL, column_name TEXT NOT NULL,
    geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL, z TINYINT NOT NULL,
    m TINYINT NOT NULL, CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name),
    CONSTRAINT uk_gc_table_name UNIQUE (table_name),
    CONSTRAINT fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name),
    CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys (srs_id))""",
)


def begin(base: sqlite3.Connection, of: FinishedMap, layer: str, columns: str, about: str) -> None:
    """The tables of a GeoPackage with one layer, in the transaction that is open.

    columns: SQL, those besides fid and geom.
    """
    base.execute(f"PRAGMA application_id = {_APPLICATION}")
    base.execute(f"PRAGMA user_version = {_VERSION}")
    srs = _add_srs(base, of)
    for table in _TABLES:
        base.execute(table)
    base.execute(
        f'CREATE TABLE "{layer}" (fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, '
        f"{GEOMETRY_COLUMN} {kind_of(of)}, {columns})"
    )
    corners = [[0, 0], [of.width, 0], [of.width, of.height], [0, of.height]]
    placed = of.to_file(np.array(corners, np.float64))
    bounds = (*placed.min(axis=0).tolist(), *placed.max(axis=0).tolist())
    base.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, min_x, min_y, "
        "max_x, max_y, srs_id) VALUES (?, 'features', ?, ?, ?, ?, ?, ?, ?)",
        (layer, layer, about, *bounds, srs),
    )
    base.execute(
        "INSERT INTO gpkg_geometry_columns VALUES (?, ?, ?, ?, 0, 0)",
        (layer, GEOMETRY_COLUMN, kind_of(of), srs),
    )


def add_table(base: sqlite3.Connection, name: str, columns: str, about: str) -> None:
    """One without geometry."""
    base.execute(f'CREATE TABLE "{name}" (fid INTEGER PRIMARY KEY NOT NULL, {columns})')
    base.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, srs_id) "
        "VALUES (?, 'attributes', ?, ?, 0)",
        (name, name, about),
    )


def add_origin(base: sqlite3.Connection, of: FinishedMap) -> None:
    """Which map the file is for."""
    add_table(base, "map", "file TEXT NOT NULL, sha256 TEXT NOT NULL", "The map that this is for")
    base.execute("INSERT INTO map (file, sha256) VALUES (?, ?)", (of.file.name, of.sha256))


def check_origin(base: sqlite3.Connection, path: Path, of: FinishedMap) -> None:
    """Raises ConfigError where the file is for another map."""
    found = base.execute("SELECT sha256 FROM map").fetchall() if has(base, "map") else []
    if [row["sha256"] for row in found] != [of.sha256]:
        raise ConfigError(
            f"{path}: was made for another map than the one in {of.folder}; move it away, or put "
            "the map that it belongs to in its place"
        )


def kind_of(of: FinishedMap) -> str:
    """What geometry the map's buildings have."""
    return MULTIPOLYGON if of.summary.get("footprints") else POLYGON


def srs_of(base: sqlite3.Connection, layer: str) -> int:
    (found,) = base.execute(
        "SELECT srs_id FROM gpkg_geometry_columns WHERE table_name = ?", (layer,)
    ).fetchone()
    return int(found)


def has(base: sqlite3.Connection, table: str) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return base.execute(query, (table,)).fetchone() is not None


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """One state of the file, whatever others write meanwhile."""
    with _opened(path) as base:
        base.execute("BEGIN")
        yield base


@contextlib.contextmanager
def writing(
    path: Path, begin: Callable[[sqlite3.Connection], None]
) -> Iterator[sqlite3.Connection]:
    """A transaction of its own, after those of others: all of it is kept, or nothing.

    begin: makes the tables, if they are not there yet.
    """
    with _opened(path) as base:
        base.execute("BEGIN IMMEDIATE")
        try:
            begin(base)
            yield base
        except BaseException:
            base.execute("ROLLBACK")
            raise
        base.execute("COMMIT")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Raises OSError where it cannot be written, ConfigError where it is no SQLite file."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as base:
            base.row_factory = sqlite3.Row
            base.execute("PRAGMA synchronous = FULL")
            yield base
    except sqlite3.OperationalError as error:
        raise OSError(f"{path}: cannot be written or read ({reason(error)})") from error
    except sqlite3.DatabaseError as error:
        raise ConfigError(
            f"{path}: is damaged ({reason(error)}); restore it, or move it away"
        ) from error


def _add_srs(base: sqlite3.Connection, of: FinishedMap) -> int:
    """The reference systems of the map's buildings, as they are told there; the map's own."""
    if not of.placed:
        base.execute(_SRS)
        base.executemany("INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, ?)", _UNDEFINED)
        return PIXELS
    with of.database() as source:
        ((table,),) = source.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'gpkg_spatial_ref_sys'"
        )
        base.execute(table)
        for row in source.execute("SELECT * FROM gpkg_spatial_ref_sys"):
            marks = ", ".join("?" * len(row))
            base.execute(f"INSERT INTO gpkg_spatial_ref_sys VALUES ({marks})", tuple(row))
        return srs_of(source, LAYER)

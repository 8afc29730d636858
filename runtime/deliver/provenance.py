"""Where a delivered file comes from, in its own metadata: of GeoPackages, and of GeoTIFF copies."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from runtime.errors import reason
from runtime.libraries import library
from runtime.output.cog import OPTIONS

_TABLES = """
CREATE TABLE IF NOT EXISTS gpkg_metadata (
    id INTEGER CONSTRAINT m_pk PRIMARY KEY ASC NOT NULL,
    md_scope TEXT NOT NULL DEFAULT 'dataset',
    md_standard_uri TEXT NOT NULL,
    mime_type TEXT NOT NULL DEFAULT 'text/xml',
    metadata TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS gpkg_metadata_reference (
    reference_scope TEXT NOT NULL,
    table_name TEXT,
    column_name TEXT,
    row_id_value INTEGER,
    timestamp DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
    md_file_id INTEGER NOT NULL,
    md_parent_id INTEGER,
    CONSTRAINT crmr_mfi_fk FOREIGN KEY (md_file_id) REFERENCES gpkg_metadata(id),
    CONSTRAINT crmr_mpi_fk FOREIGN KEY (md_parent_id) REFERENCES gpkg_metadata(id)
);
CREATE TABLE IF NOT EXISTS gpkg_extensions (
    table_name TEXT,
    column_name TEXT,
    extension_name TEXT NOT NULL,
    definition TEXT NOT NULL,
    scope TEXT NOT NULL,
    CONSTRAINT ge_tce UNIQUE (table_name, column_name, extension_name)
);
"""
"""As OGC 12-128r15 has them (annexes C and F.8)."""

_DEFINITION = "http://www.geopackage.org/spec121/#extension_metadata"
_GDAL = "http://gdal.org"
"""The standard of metadata that GDAL, and with it QGIS, shows as a file's own."""


def tag_geopackage(package: Path, tags: Mapping[str, str], time: str) -> None:
    """time: ISO 8601 in UTC, with milliseconds."""
    root = ElementTree.Element("GDALMultiDomainMetadata")
    inner = ElementTree.SubElement(root, "Metadata")
    for key, value in tags.items():
        ElementTree.SubElement(inner, "MDI", key=key).text = value
    text = ElementTree.tostring(root, encoding="unicode")
    with contextlib.closing(sqlite3.connect(package)) as database, database:
        database.executescript(_TABLES)
        number = database.execute(
            "INSERT INTO gpkg_metadata (md_scope, md_standard_uri, mime_type, metadata) "
            "VALUES ('dataset', ?, 'text/xml', ?)",
            (_GDAL, text),
        ).lastrowid
        database.execute(
            "INSERT INTO gpkg_metadata_reference (reference_scope, timestamp, md_file_id) "
            "VALUES ('geopackage', ?, ?)",
            (time, number),
        )
        for table in ("gpkg_metadata", "gpkg_metadata_reference"):
            database.execute(
                "INSERT INTO gpkg_extensions VALUES (?, NULL, 'gpkg_metadata', ?, 'read-write')",
                (table, _DEFINITION),
            )


def copy_raster(source: Path, out: Path, tags: Mapping[str, str], smooth: bool) -> None:
    """A cloud-optimised copy with more tags. smooth: overviews are means, else the nearest.

    Tags that are added to a finished one would lie behind its pixels, where it is not
    cloud-optimised any more. Raises OSError where it cannot be written.
    """
    rasterio = library("rasterio")
    shutil = library("rasterio.shutil")
    with tempfile.TemporaryDirectory(prefix=".", dir=out.parent) as folder:
        described = Path(folder) / "described.vrt"
        try:
            shutil.copy(source, described, driver="VRT")
            with rasterio.open(described, "r+") as dataset:
                dataset.update_tags(**tags)
            resampling = "AVERAGE" if smooth else "NEAREST"
            shutil.copy(described, out, OVERVIEW_RESAMPLING=resampling, **OPTIONS)
        except (rasterio.errors.RasterioError, library("rasterio._err").CPLE_BaseError) as error:
            raise OSError(f"{out}: the GeoTIFF cannot be written ({reason(error)})") from error

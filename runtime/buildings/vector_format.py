"""Which vector files GDAL may see, and as what: told by their content, before it opens them.

By itself it tries some eighty formats. Several of them name other files, databases or addresses
that it then reads (OGR_VRT, GDALG, services), and so do a GeoPackage's views and a GeoJSON's CRS.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import re
import sqlite3
from pathlib import Path

from runtime.errors import ConfigError, reason

EXPECTED = "expected a GeoPackage, GeoJSON, Shapefile or FlatGeobuf of polygons"

GEOPACKAGES = (b"GPKG", b"GP10", b"GP11")
"""SQLite's application id, at byte 68 (OGC 12-128r18, 1.1.1.1.1)."""

LINES = {".geojsonl", ".geojsons", ".ndjson", ".jsonl", ".geojsonseq"}

_PARSED_BY_PYOGRIO = re.compile(r"[!?\t\r\n]")
_LETTERS = rb"(?:c|\\u00[46]3)(?:r|\\u00[57]2)(?:s|\\u00[57]3)"
_CRS = re.compile(rb"[\"']" + _LETTERS + rb"[\"']", re.IGNORECASE)
_AS_A_VALUE = re.compile(rb"\s*[,\]}]")
_AS_A_KEY = re.compile(rb"\s*:\s*")
_LONGEST_CRS = 1 << 16
_VIRTUAL = re.compile(r"create\s+virtual\s+table.*?\busing\s+(\w+)", re.IGNORECASE | re.DOTALL)


def checked(path: Path) -> tuple[str, str]:
    """What GDAL is to open, and the driver that opens it.

    Raises ConfigError for any other format, and for content that refers to anything outside of
    the file.
    """
    path = path.absolute()
    if not path.is_file():
        what = "not a file" if path.exists() else "does not exist"
        raise ConfigError(f"{path}: {what}; {EXPECTED}")
    if _PARSED_BY_PYOGRIO.search(str(path)) or str(path).startswith("/vsi"):
        raise ConfigError(
            f"{path}: GDAL would not take this for the name of a file; copy it to a name and a "
            "folder without ! ? and line breaks"
        )
    with path.open("rb") as file:
        begin = file.read(72)
    if begin.startswith(b"SQLite format 3\0") and begin[68:72] in GEOPACKAGES:
        _check_geopackage(path)
        return str(path), "GPKG"
    if begin.startswith(b"fgb\x03fgb"):
        return str(path), "FlatGeobuf"
    if begin.startswith(b"\0\0\x27\x0a") and path.suffix.lower() == ".shp":
        return str(path), "ESRI Shapefile"
    if begin.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n\x1e").startswith(b"{"):
        _check_crs(path)
        lines = b"\x1e" in begin or path.suffix.lower() in LINES
        driver = "GeoJSONSeq" if lines else "GeoJSON"
        return f"{driver}:{path}", driver
    raise ConfigError(
        f"{path}: {EXPECTED}; if it is another vector format that you trust, convert it with "
        f"ogr2ogr {path.stem}.gpkg {path}"
    )


def _check_geopackage(path: Path) -> None:
    """Its layers are tables: a view computes what it likes, for as long as it likes."""
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
        ) as base:
            listed = base.execute("SELECT type, lower(name), sql FROM sqlite_master").fetchall()
            views = {str(name) for kind, name, _ in listed if kind == "view"}
            inner = [name for name in views if name.startswith("gpkg_")]
            virtual = [_VIRTUAL.match(str(sql)) for _, _, sql in listed]
            if inner or any(each and each[1].lower() != "rtree" for each in virtual):
                raise ConfigError(
                    f"{path}: a GeoPackage whose own tables are computed; {EXPECTED}, written by "
                    "a GIS"
                )
            names = base.execute("SELECT lower(table_name) FROM gpkg_contents").fetchall()
    except (sqlite3.Error, UnicodeError) as error:
        raise ConfigError(
            f"{path}: a damaged GeoPackage ({reason(error)}); copy it again"
        ) from error
    if layers := sorted(views.intersection(name for (name,) in names)):
        raise ConfigError(
            f"{path}: layer {layers[0]} is a view; expected a table; if you trust the file, copy "
            f"it out with ogr2ogr footprints.gpkg {path} {layers[0]}"
        )


def _check_crs(path: Path) -> None:
    """GDAL fetches a CRS that a GeoJSON names by its address, in any of its objects.

    Its parser takes comments, single quotes and any case; only the plainest way to write the
    CRS's name is let pass.
    """
    with (
        path.open("rb") as file,
        contextlib.closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as text,
    ):
        for found in _CRS.finditer(text):
            if _AS_A_VALUE.match(text, found.end()):
                continue
            key = _AS_A_KEY.match(text, found.end())
            if key and _plain(text[key.end() : key.end() + _LONGEST_CRS]):
                continue
            raise ConfigError(
                f'{path}: a crs that is not given by its name; expected "crs": {{"type": "name", '
                '"properties": {"name": "urn:ogc:def:crs:EPSG::CODE"}}}'
            )


def _plain(text: bytes) -> bool:
    """Does the text begin with a JSON value that is no CRS, or one that names it?"""
    try:
        value, _ = json.JSONDecoder(object_pairs_hook=list).raw_decode(text.decode(errors="ignore"))
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, list):
        return True
    pairs = [each for each in value if isinstance(each, tuple)]
    kinds = {str(kind).lower() for key, kind in pairs if key.lower() == "type"}
    return bool(kinds) and kinds <= {"name", "epsg"}

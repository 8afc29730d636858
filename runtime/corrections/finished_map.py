"""A finished map: its summary, and its buildings in pixels, read from its own files."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from runtime import records
from runtime.corrections import blob, rings
from runtime.corrections.blob import Ring
from runtime.corrections.building import Building, Columns
from runtime.damage import BACKGROUND, CLASS_NAMES, DAMAGE_CLASSES
from runtime.errors import ConfigError, reason
from runtime.identity import stamp
from runtime.libraries import library
from runtime.options import SUMMARY
from runtime.output.geopackage import GEOMETRY_COLUMN, LAYER
from runtime.output.tables import SHARES
from runtime.output.vectors import GEOPACKAGE
from runtime.source.georeference import WGS84, Georeference, reproject

GEOJSON = "buildings.geojson"

CHUNK = 1_000
"""Buildings that are held at a time."""

LARGEST_ID = 1 << 63
"""SQLite's integers end before it."""

DECIMALS = 4
"""Of a pixel: what is written in degrees does not come back to the last bit."""


@dataclass(frozen=True, eq=False)
class _Row:
    """A feature as the file has it; polygons in the file's coordinates."""

    id: int
    values: dict[str, Any]
    polygons: list[list[Ring]]


_SHARES_OF_CLASSES = {
    field: name for field, name in SHARES.items() if name != CLASS_NAMES[BACKGROUND]
}


class FinishedMap:
    """The map in `folder`, as it was written.

    Raises ConfigError where there is none, or where its buildings are not those that the summary
    counts.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.summary = _summary(self.folder)
        self._stamp = stamp(self.folder / SUMMARY)
        self.placed = GEOPACKAGE in self.summary["files"]
        self.file = self.folder / (GEOPACKAGE if self.placed else GEOJSON)
        if not self.file.is_file():
            raise ConfigError(
                f"{self.file}: is missing; expected the buildings of the map, copy its folder again"
            )
        self.height, self.width = int(self.summary["height"]), int(self.summary["width"])
        mapped = {name: row["buildings"] for name, row in self.summary["classes"].items()}
        found = self.classes
        if any(found[name] != mapped[name] for name in mapped) or (
            sum(found.values()) != sum(mapped.values()) + self.summary["not_graded"]
        ):
            raise ConfigError(
                f"{self.file}: its buildings are not those that {SUMMARY} counts, it was changed "
                "since the map was written; expected the map's own file, keep a copy of what was "
                "changed and map the pair again"
            )

    @property
    def sha256(self) -> str:
        """Of the buildings file when the map was written. Looking at a GeoPackage may change it."""
        return str(sha256_of(self.summary))

    def check_still_there(self) -> None:
        """Raises ConfigError where another map has taken its place since."""
        if stamp(self.folder / SUMMARY) != self._stamp:
            raise ConfigError(
                f"{self.folder}: another map was written there in the meantime; open it again"
            )

    @cached_property
    def classes(self) -> Counter[str]:
        """Buildings by class, as mapped."""
        if not self.placed:
            return Counter(each.values["damage"] for each in self._features)
        with self.database() as base:
            return Counter(
                dict(base.execute(f"SELECT damage, count(*) FROM {LAYER} GROUP BY damage"))
            )

    @cached_property
    def georeference(self) -> Georeference | None:
        """BackendError where that of a placed map cannot be read without rasterio."""
        if not self.placed:
            return None
        path = self.folder / "damage.tif"
        rasterio = library("rasterio")
        try:
            with rasterio.open(path) as dataset:
                return Georeference(dataset.crs.to_wkt(), tuple(dataset.transform)[:6])
        except rasterio.errors.RasterioError as error:
            raise ConfigError(
                f"{path}: cannot be read ({reason(error)}); expected the map's own file"
            ) from error

    def buildings(self, ids: Collection[int] | None = None) -> Iterator[Building]:
        """All, or those of `ids`, in the order of their numbers; none is corrected."""
        rows = iter(self._rows(ids))
        while chunk := [row for _, row in zip(range(CHUNK), rows, strict=False)]:
            yield from self._in_pixels(chunk)

    def columns(self) -> Columns:
        """Without outlines, which take most of the time."""
        if self.placed:
            with self.database() as base:
                cursor = base.execute(f"SELECT * FROM {LAYER} LIMIT 0")
                there = {each[0] for each in cursor.description}
                shares = [field for field in _SHARES_OF_CLASSES if field in there]
                rows = base.execute(
                    f"SELECT fid, damage, confidence, {', '.join(shares)} FROM {LAYER} ORDER BY fid"
                ).fetchall()
        else:
            rows = [
                (row.id, row.values["damage"], row.values["confidence"],
                 *(row.values["shares"].get(name) for name in _SHARES_OF_CLASSES.values()))
                for row in self._features
            ]  # fmt: skip
        width = 1 + len(_SHARES_OF_CLASSES)
        table = np.array([row[2:] for row in rows], np.float64).reshape(
            len(rows), -1 if rows else width
        )
        return Columns(
            np.array([row[0] for row in rows], np.int64),
            np.array([str(row[1]) for row in rows], object),
            np.nan_to_num(table[:, 0]) if rows else np.zeros(0),
            np.nan_to_num(table[:, 1:]) if rows else np.zeros((0, len(_SHARES_OF_CLASSES))),
        )

    def building(self, number: int) -> Building:
        """ConfigError for one that the map does not have."""
        if type(number) is int and 0 <= number < LARGEST_ID:
            for each in self.buildings([number]):
                return each
        raise ConfigError(
            f"{self.folder}: has no building {number}; expected the number of a feature of "
            f"{self.file.name}"
        )

    def to_file(self, ring: Ring) -> Ring:
        """From pixels to the coordinates of the buildings file."""
        place = self.georeference
        return place.to_map(ring) if place else ring

    def to_pixels(self, polygons: list[list[Ring]]) -> tuple[tuple[Ring, ...], ...]:
        place = self.georeference
        if not place:
            return tuple(map(tuple, polygons))
        return tuple(
            tuple(np.round(place.to_pixels(ring), DECIMALS) + 0.0 for ring in each)
            for each in polygons
        )

    @contextlib.contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(
                sqlite3.connect(f"{self.file.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
            ) as base:
                yield base
        except sqlite3.Error as error:
            raise ConfigError(
                f"{self.file}: cannot be read ({reason(error)}); copy the map's folder again"
            ) from error

    def _rows(self, ids: Collection[int] | None) -> Iterator[_Row]:
        if not self.placed:
            wanted = None if ids is None else set(ids)
            yield from (each for each in self._features if wanted is None or each.id in wanted)
            return
        with self.database() as base:
            base.row_factory = sqlite3.Row
            query = f"SELECT * FROM {LAYER}"
            found: Iterator[sqlite3.Row]
            if ids is None:
                found = base.execute(f"{query} ORDER BY fid")
            else:
                found = (
                    row
                    for number in sorted(ids)
                    for row in base.execute(f"{query} WHERE fid = ?", (number,))
                )
            for row in found:
                values = dict(row)
                geometry = values.pop(GEOMETRY_COLUMN)
                values["shares"] = {
                    name: values[field]
                    for field, name in SHARES.items()
                    if values.get(field) is not None
                }
                yield _Row(int(values["fid"]), values, blob.decode(geometry) if geometry else [])

    @cached_property
    def _features(self) -> list[_Row]:
        """Of a picture's GeoJSON, numbered from 0, as GDAL does."""
        try:
            content = json.loads(self.file.read_bytes())
            return [
                _Row(
                    number,
                    each["properties"],
                    [[np.array(ring, np.float64) for ring in each["geometry"]["coordinates"]]],
                )
                for number, each in enumerate(content["features"])
            ]
        except (ValueError, LookupError, TypeError) as error:
            raise ConfigError(
                f"{self.file}: is damaged ({reason(error)}); copy the map's folder again"
            ) from error

    def _in_pixels(self, rows: list[_Row]) -> Iterator[Building]:
        centres: list[list[float]] = [[float("nan")] * 2] * len(rows)
        place = self.georeference
        if place:
            points = [
                rings.centre(rings.largest(row.polygons)) if row.polygons else (np.nan, np.nan)
                for row in rows
            ]
            centres = reproject(np.array(points), place.crs_wkt, WGS84).tolist()
        for row, (lon, lat) in zip(rows, centres, strict=True):
            known = bool(np.isfinite([lon, lat]).all())
            values = row.values
            yield Building(
                id=row.id,
                damage_class=str(values["damage"]),
                corrected=None,
                confidence=float(values["confidence"] or 0.0),
                shares=values["shares"] or None,
                area_px=int(values["area_px"]),
                area_m2=values.get("area_m2"),
                cut=str(values.get("cut") or ""),
                polygons=self.to_pixels(row.polygons),
                lon=lon if known else None,
                lat=lat if known else None,
            )


def sha256_of(summary: Mapping[str, Any]) -> str | None:
    """Of the buildings file that a summary lists: which map it is, for what is made beside it."""
    listed = summary["files"]
    entry = listed.get(GEOPACKAGE) or listed.get(GEOJSON) or {}
    return entry.get("sha256")


def mapped_classes(found: Counter[str]) -> dict[str, int]:
    """The classes of the damage scale, and what else there is of known footprints."""
    names = [CLASS_NAMES[each] for each in DAMAGE_CLASSES]
    others = sorted(name for name, number in found.items() if name not in names and number)
    return {name: found[name] for name in (*names, *others)}


def _summary(folder: Path) -> dict[str, Any]:
    path = folder / SUMMARY
    expected = "expected the folder of a finished map, as predict writes it"
    try:
        content = records.load_json(path)
    except FileNotFoundError as error:
        raise ConfigError(f"{folder}: holds no {SUMMARY}; {expected}") from error
    except NotADirectoryError as error:
        raise ConfigError(f"{folder}: is a file; {expected}") from error
    except records.RecordError as error:
        raise ConfigError(f"{path}: {error}; {expected}") from error
    wanted = {"files": dict, "classes": dict, "height": int, "width": int, "not_graded": int}
    if not isinstance(content, dict) or any(
        not isinstance(content.get(key), kind) for key, kind in wanted.items()
    ):
        raise ConfigError(f"{path}: is no summary of a map; {expected}")
    if not {GEOPACKAGE, GEOJSON} & content["files"].keys():
        raise ConfigError(f"{path}: lists no buildings; {expected}")
    return content

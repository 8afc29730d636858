"""The buildings of a map as a table that is read by pages: by number, confidence, class or place.

It is made once, from what `runtime.corrections` gives one by one, so that a request reads what it
shows and no more. Corrections made elsewhere, on another page or in QGIS, are taken over when
their file has changed.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from runtime.corrections import Building, Corrections
from runtime.files import replacing

ENDING = ".buildings"
AT_ONCE = 5000
"""Buildings that are written together."""

_TABLES = """
CREATE TABLE building (
    id INTEGER PRIMARY KEY, class TEXT, corrected TEXT, now TEXT, confidence REAL, body TEXT
);
CREATE VIRTUAL TABLE box USING rtree(id, min_x, max_x, min_y, max_y);
CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT);
"""
_INDICES = """
CREATE INDEX by_confidence ON building (confidence, id);
CREATE INDEX by_class ON building (now, confidence, id);
CREATE INDEX corrected ON building (id) WHERE corrected IS NOT NULL;
"""
Sort = Literal["confidence", "id"]
Box = tuple[float, float, float, float]
"""Left, top, right and bottom, pixels."""


@dataclass(frozen=True)
class Page:
    total: int
    buildings: list[dict[str, Any]]


def make(maps: Path, path: Path) -> None:
    """The table of the buildings of a map, which appears whole."""
    with Corrections(maps) as corrections:
        write(corrections.buildings(), path)


def write(buildings: Iterator[Building], path: Path) -> None:
    with replacing(path) as temporary, contextlib.closing(sqlite3.connect(temporary)) as database:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(_TABLES)
        for some in _in_groups(buildings):
            rows = map(_row, some)
            database.executemany("INSERT INTO building VALUES (?, ?, NULL, ?, ?, ?)", rows)
            boxes = (_box(each) for each in some if each.ring)
            database.executemany("INSERT INTO box VALUES (?, ?, ?, ?, ?)", boxes)
        database.executescript(_INDICES)
        total = database.execute("SELECT count(*) FROM building").fetchone()[0]
        database.execute("INSERT INTO state VALUES ('total', ?)", (str(total),))
        database.commit()


class Listing:
    """Of one map. Safe for several threads: each asks with a connection of its own."""

    _ALONE = threading.Lock()

    def __init__(self, corrections: Corrections, path: Path) -> None:
        self._corrections, self._path = corrections, path

    def page(
        self, sort: Sort, offset: int, limit: int, box: Box | None, damage_class: str | None
    ) -> Page:
        wheres: list[str] = []
        values: list[Any] = []
        if damage_class is not None:
            wheres.append("now = ?")
            values.append(damage_class)
        if box is not None:
            wheres.append(
                "id IN (SELECT id FROM box WHERE max_x >= ? AND max_y >= ? AND min_x <= ? "
                "AND min_y <= ?)"
            )
            values += box
        where = f"WHERE {' AND '.join(wheres)}" if wheres else ""
        order = "id" if sort == "id" else "confidence, id"
        with self._asked() as database:
            if wheres:
                count = f"SELECT count(*) FROM building {where}"
                total = int(database.execute(count, values).fetchone()[0])
            else:
                total = int(_state(database, "total") or 0)
            rows = database.execute(
                f"SELECT id, class, corrected, body FROM building {where} ORDER BY {order} "
                "LIMIT ? OFFSET ?",
                (*values, limit, offset),
            ).fetchall()
        return Page(total, [_shown(row) for row in rows])

    def one(self, id: int) -> dict[str, Any] | None:
        return self.some([id]).get(id)

    def some(self, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        """By number; those that there are."""
        found = {}
        with self._asked() as database:
            for id in ids:
                row = database.execute(
                    "SELECT id, class, corrected, body FROM building WHERE id = ?", (id,)
                ).fetchone()
                if row:
                    found[id] = _shown(row)
        return found

    @contextlib.contextmanager
    def _asked(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self._path, timeout=30.0)) as database:
            stamp = changed(self._corrections.path)
            if stamp != (_state(database, "stamp") or ""):
                with self._ALONE:
                    self._take_over(database, stamp)
            yield database

    def _take_over(self, database: sqlite3.Connection, stamp: str) -> None:
        """The corrections as they are now."""
        latest = {
            each.building: each.new_class
            for each in self._corrections.all()
            if each.building is not None
        }
        with database:
            database.execute(
                "UPDATE building SET corrected = NULL, now = class WHERE corrected IS NOT NULL"
            )
            database.executemany(
                "UPDATE building SET corrected = ?1, now = ?1 WHERE id = ?2",
                ((new, building) for building, new in latest.items()),
            )
            database.execute("INSERT OR REPLACE INTO state VALUES ('stamp', ?)", (stamp,))


def _in_groups(buildings: Iterator[Building]) -> Iterator[Sequence[Building]]:
    some: list[Building] = []
    for each in buildings:
        some.append(each)
        if len(some) == AT_ONCE:
            yield some
            some = []
    yield some


def _row(each: Building) -> tuple[Any, ...]:
    body = {
        "confidence": each.confidence,
        "shares": each.shares,
        "area_m2": each.area_m2,
        "area_px": each.area_px,
        "ring": each.ring,
        "centre": each.centre if each.ring else None,
        "lon": each.lon,
        "lat": each.lat,
    }
    text = json.dumps(body, separators=(",", ":"))
    return each.id, each.damage_class, each.damage_class, each.confidence, text


def _box(each: Building) -> tuple[float, ...]:
    xs, ys = zip(*each.ring, strict=True)
    return each.id, min(xs), max(xs), min(ys), max(ys)


def _shown(row: tuple[int, str, str | None, str]) -> dict[str, Any]:
    id, damage_class, corrected, body = row
    return {"id": id, "class": damage_class, "corrected": corrected, **json.loads(body)}


def _state(database: sqlite3.Connection, name: str) -> str | None:
    row = database.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


def changed(path: Path) -> str:
    """Another text where the corrections may have changed: in their file, or in the log beside it
    that QGIS writes while it has the file open."""
    return f"{_stamp(path)} {_stamp(path.with_name(f'{path.name}-wal'))}".strip()


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except FileNotFoundError:
        return ""
    return f"{status.st_mtime_ns} {status.st_size} {status.st_ino}"

"""What people say of a finished map's buildings, in a GeoPackage beside it.

The map's own files stay as they are. Each change is one short transaction, so that several
processes may write, and one that is killed leaves a whole file.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType

from runtime.corrections import blob, package, rings
from runtime.corrections.building import Building
from runtime.corrections.finished_map import LARGEST_ID, FinishedMap, mapped_classes
from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES, UNCLASSIFIED
from runtime.errors import ConfigError

CORRECTIONS = "corrections.gpkg"
TABLE = "corrections"

NOT_A_BUILDING = "not-a-building"
DAMAGE_NAMES = tuple(CLASS_NAMES[each] for each in DAMAGE_CLASSES)
NEW_CLASSES = (*DAMAGE_NAMES, UNCLASSIFIED, NOT_A_BUILDING)
"""What a building may be corrected to; what is drawn is a building."""

MOST_WHO = 200
"""Characters of a name."""

_COLUMNS = (
    "building INTEGER UNIQUE, old_class TEXT, new_class TEXT NOT NULL, who TEXT NOT NULL, "
    '"when" DATETIME NOT NULL'
)
_HISTORY = (
    "correction INTEGER NOT NULL, action TEXT NOT NULL, building INTEGER, old_class TEXT, "
    'new_class TEXT, who TEXT, "when" DATETIME NOT NULL'
)


@dataclass(frozen=True)
class Correction:
    """What one person said of one building.

    building: its number in the map; None for one that was drawn.
    old_class: as mapped; None for one that was drawn. new_class: the same where it was found right.
    when: UTC, ISO 8601. ring: the exterior of its largest part, pixels; closed.
    """

    id: int
    building: int | None
    old_class: str | None
    new_class: str
    who: str
    when: str
    ring: list[tuple[float, float]]

    @property
    def changes(self) -> bool:
        """Is anything another than in the map?"""
        return self.new_class != self.old_class


class Corrections:
    """Those of the map in `folder`; also a context manager, which has nothing to close.

    Raises ConfigError for a folder that is no finished map, and for corrections that were made for
    another one.
    """

    def __init__(self, folder: Path | str) -> None:
        self.map = FinishedMap(Path(folder))
        self.path = self.map.folder / CORRECTIONS
        if self._begun():
            with package.reading(self.path) as base:
                self._check(base)

    def __enter__(self) -> Corrections:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Each change is written when it is made."""

    def set(self, building: int, new_class: str, who: str) -> Correction:
        """Say what a building of the map is; what was said of it before goes to the history.

        The class that it has in the map says that it was looked at and is right.
        Raises ConfigError for another class, a building that the map has not, and an empty name.
        """
        _check_class(new_class, NEW_CLASSES)
        who = _name(who)
        found = self.map.building(building)
        if not found.polygons:
            raise ConfigError(f"{self.map.file}: building {building} has no outline to correct")
        polygons = [[self.map.to_file(ring) for ring in each] for each in found.polygons]
        with self._writing() as base:
            geometry = blob.encode(polygons, package.srs_of(base, TABLE), package.kind_of(self.map))
            now = _now()
            base.execute(
                f'INSERT INTO {TABLE} (geom, building, old_class, new_class, who, "when") '
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (building) DO UPDATE SET "
                'new_class = excluded.new_class, who = excluded.who, "when" = excluded."when"',
                (geometry, building, found.damage_class, new_class, who, now),
            )
            row = base.execute(f"SELECT * FROM {TABLE} WHERE building = ?", (building,)).fetchone()
            _note(base, row, "set", who, now)
            return self._correction(row)

    def add(self, ring: Sequence[Sequence[float]], damage_class: str, who: str) -> Correction:
        """A building that the map has not. ring: x and y, pixels.

        Raises ConfigError for a ring that is no valid polygon within the map.
        """
        _check_class(damage_class, (*DAMAGE_NAMES, UNCLASSIFIED))
        who = _name(who)
        drawn = rings.checked(ring, self.map.height, self.map.width)
        outline = self.map.to_file(drawn)
        with self._writing() as base:
            geometry = blob.encode([[outline]], package.srs_of(base, TABLE),
                                   package.kind_of(self.map))  # fmt: skip
            now = _now()
            added = base.execute(
                f'INSERT INTO {TABLE} (geom, new_class, who, "when") VALUES (?, ?, ?, ?)',
                (geometry, damage_class, who, now),
            ).lastrowid
            row = base.execute(f"SELECT * FROM {TABLE} WHERE fid = ?", (added,)).fetchone()
            _note(base, row, "add", who, now)
            return self._correction(row)

    def remove(self, id: int, who: str | None = None) -> None:
        """Take a correction back; the history keeps it. ConfigError where there is none."""
        given = None if who is None else _name(who)
        if not self._begun() or type(id) is not int or not 0 <= id < LARGEST_ID:
            raise self._unknown(id)
        with self._writing() as base:
            row = base.execute(f"SELECT * FROM {TABLE} WHERE fid = ?", (id,)).fetchone()
            if row is None:
                raise self._unknown(id)
            base.execute(f"DELETE FROM {TABLE} WHERE fid = ?", (id,))
            _note(base, row, "remove", given, _now())

    def all(self) -> list[Correction]:
        """In the order in which buildings were first corrected."""
        return [self._correction(row) for row in self._rows()]

    def count(self) -> int:
        """Those that change anything: a building that was found right is none."""
        return sum(row["new_class"] != row["old_class"] for row in self._rows())

    def mapped(self) -> dict[str, int]:
        """Buildings by class, as mapped."""
        return mapped_classes(self.map.classes)

    def totals(self) -> dict[str, int]:
        """Buildings by class, corrections counted in. What is not a building is not counted."""
        found = Counter(self.map.classes)
        for row in self._rows():
            if row["old_class"] is not None:
                found[row["old_class"]] -= 1
            if row["new_class"] != NOT_A_BUILDING:
                found[row["new_class"]] += 1
        return mapped_classes(found)

    def buildings(self) -> Iterator[Building]:
        """Those of the map, in the order of their numbers, and what is said of them."""
        said = self._said()
        for each in self.map.buildings():
            yield replace(each, corrected=said[each.id]) if each.id in said else each

    def building(self, number: int) -> Building:
        """ConfigError for one that the map does not have."""
        found = self.map.building(number)
        return replace(found, corrected=self._said().get(number))

    def _said(self) -> dict[int, str]:
        rows = self._rows()
        return {row["building"]: row["new_class"] for row in rows if row["building"] is not None}

    def _rows(self) -> list[sqlite3.Row]:
        if not self._begun():
            return []
        with package.reading(self.path) as base:
            if not self._check(base):
                return []
            rows = base.execute(f"SELECT * FROM {TABLE} ORDER BY fid").fetchall()
        for row in rows:  # a GIS writes what it likes
            if row["new_class"] not in NEW_CLASSES:
                raise ConfigError(
                    f"{self.path}: correction {row['fid']} has new_class "
                    f"{str(row['new_class'])[:60]!r}; expected {', '.join(NEW_CLASSES)}"
                )
        return rows

    def _writing(self) -> AbstractContextManager[sqlite3.Connection]:
        return package.writing(self.path, self._begin)

    def _begin(self, base: sqlite3.Connection) -> None:
        """The tables, where they are not there yet, and whether they are of this map."""
        self.map.check_still_there()
        if self._check(base):
            return
        package.begin(base, self.map, TABLE, _COLUMNS, "Buildings corrected by hand")
        package.add_table(base, "history", _HISTORY, "Every correction that was made or taken back")
        package.add_origin(base, self.map)

    def _check(self, base: sqlite3.Connection) -> bool:
        """Are the tables there? ConfigError where they were made for another map."""
        if not package.has(base, TABLE):
            return False
        package.check_origin(base, self.path, self.map)
        return True

    def _begun(self) -> bool:
        return self.path.exists() and self.path.stat().st_size > 0

    def _correction(self, row: sqlite3.Row) -> Correction:
        return Correction(
            id=row["fid"],
            building=row["building"],
            old_class=row["old_class"],
            new_class=row["new_class"],
            who=row["who"],
            when=row["when"],
            ring=self._ring(row["geom"]),
        )

    def _ring(self, geometry: bytes) -> list[tuple[float, float]]:
        """Empty for a row that has no outline any more."""
        try:
            polygons = self.map.to_pixels(blob.decode(geometry or b""))
        except ValueError:
            return []
        return [(x, y) for x, y in rings.largest(polygons)[0].tolist()]

    def _unknown(self, id: int) -> ConfigError:
        return ConfigError(f"{self.path}: has no correction {id}; expected the id of one of them")


def _note(
    base: sqlite3.Connection, row: sqlite3.Row, action: str, who: str | None, now: str
) -> None:
    base.execute(
        'INSERT INTO history (correction, action, building, old_class, new_class, who, "when") '
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (row["fid"], action, row["building"], row["old_class"], row["new_class"], who, now),
    )


def _check_class(name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise ConfigError(f"class {str(name)[:60]!r} is unknown; expected {', '.join(known)}")


def _name(who: str) -> str:
    name = who.strip() if isinstance(who, str) else ""
    if not name or len(name) > MOST_WHO or not name.isprintable():
        raise ConfigError(
            f"who {str(who)[:60]!r}: expected the name of the person who corrects, on one line of "
            f"at most {MOST_WHO} characters"
        )
    return name


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")

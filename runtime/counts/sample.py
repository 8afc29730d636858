"""The sample of a map: drawn once, checked by people, read back row by row."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.corrections import blob, package
from runtime.corrections.finished_map import FinishedMap
from runtime.corrections.store import DAMAGE_NAMES, NEW_CLASSES, Correction, Corrections
from runtime.counts.sample_file import (
    BUILDING,
    CELL,
    CLASS_SEEN,
    DIGEST,
    MISSED,
    OF_CELLS,
    SAMPLE,
    TABLE,
    digest,
)
from runtime.errors import ConfigError


@dataclass(frozen=True)
class Row:
    """What is checked: a building, or a cell in which missing ones are looked for.

    id: number of the feature. true_class: None where it is empty.
    missed: by class, of a cell; None where all four fields are empty.
    class_seen: was what the map says in sight when it was checked? None where nobody says.
    """

    id: int
    kind: str
    building: int | None
    stratum: int
    true_class: str | None
    missed: dict[str, int] | None
    class_seen: bool | None
    corners: tuple[float, float, float, float]


@dataclass(frozen=True)
class Stratum:
    """shares: means over all of its buildings, of classes 1 to 4; None: the map says none."""

    number: int
    kind: str
    mapped_class: str | None
    size: int
    sampled: int
    shares: tuple[float, ...] | None


@dataclass(frozen=True)
class Known:
    """building: None for one that was drawn, whose outline tells it from others."""

    building: int | None
    mapped_class: str | None
    true_class: str
    outline: str | None

    @classmethod
    def of(cls, each: Correction) -> Known:
        return cls(each.building, each.old_class, each.new_class, outline_of(each))


def outline_of(correction: Correction) -> str | None:
    """Of one that was drawn, the same as long as nobody draws it anew elsewhere."""
    if correction.building is not None:
        return None
    return hashlib.sha256(json.dumps(correction.ring).encode()).hexdigest()


class Sample:
    """That of the map in a folder, whose corrections may be open already.

    Raises ConfigError where none was drawn, or it is of another map, or a field holds what cannot
    be meant; the message names the row.
    """

    def __init__(self, of: Path | str | Corrections) -> None:
        self.corrections = of if isinstance(of, Corrections) else Corrections(of)
        self.map = self.corrections.map
        self.path = self.map.folder / SAMPLE
        if not self.path.exists() or not self.path.stat().st_size:
            raise ConfigError(
                f"{self.path}: does not exist; draw a sample with dual-hrnet counts sample "
                f"{self.map.folder}"
            )
        with package.reading(self.path) as base:
            package.check_origin(base, self.path, self.map)
            self.design = dict(base.execute("SELECT name, value FROM design").fetchall())
            if self.design.pop(DIGEST, None) != digest(base):
                raise ConfigError(
                    f"{self.path}: rows were added, deleted, or given another building, class or "
                    "stratum; only true_class and the fields of what is missed are for people: "
                    "restore it, or draw another sample"
                )
            self._check_fields(base)
            self.rows = [self._row(each) for each in base.execute(f"SELECT * FROM {TABLE}")]
            self.strata = [_stratum(each) for each in base.execute("SELECT * FROM strata")]
            self.known = [
                Known(each["building"], each["mapped_class"], each["true_class"], each["outline"])
                for each in base.execute("SELECT * FROM known")
            ]

    def check(
        self,
        row: int,
        true_class: str | None,
        missed: Mapping[str, int] | None = None,
        class_seen: bool | None = None,
    ) -> None:
        """Say what a row is, as a person would in a GIS; `missed` by class, of a cell.

        class_seen: was what the map says in sight? None: that is not known.
        """
        found = next((each for each in self.rows if each.id == row), None)
        if found is None:
            raise ConfigError(f"{self.path}: has no row {row}; expected one of {len(self.rows)}")
        unknown = set(missed or {}) - set(DAMAGE_NAMES)
        if unknown:
            raise ConfigError(f"missed {sorted(unknown)[0]!r}: expected {', '.join(DAMAGE_NAMES)}")
        counts = {field: (missed or {}).get(name, 0) for field, name in MISSED.items()}
        values: dict[str, Any] = dict(counts) if missed else dict.fromkeys(MISSED)
        self._judged(found.id, found.kind, true_class, values)
        values[CLASS_SEEN] = class_seen
        with package.writing(self.path, lambda base: None) as base:
            package.check_origin(base, self.path, self.map)
            fields = ", ".join(f"{name} = ?" for name in ("true_class", *values))
            base.execute(
                f"UPDATE {TABLE} SET {fields} WHERE fid = ?", (true_class, *values.values(), row)
            )

    def _check_fields(self, base: sqlite3.Connection) -> None:
        there = {each["name"] for each in base.execute(f"PRAGMA table_info({TABLE})")}
        if missing := sorted({"true_class", *MISSED, CLASS_SEEN} - there):
            raise ConfigError(
                f"{self.path}: the field {missing[0]} is missing; restore the file, or draw "
                "another sample"
            )

    def _row(self, row: sqlite3.Row) -> Row:
        true_class, missed = self._judged(row["fid"], row["kind"], row["true_class"], row)
        (left, top), (right, bottom) = _corners(self.map, row["geom"], row["kind"])
        return Row(
            row["fid"], row["kind"], row["building"], row["stratum"], true_class, missed,
            self._seen(row), (left, top, right, bottom),
        )  # fmt: skip

    def _seen(self, row: sqlite3.Row) -> bool | None:
        found = row[CLASS_SEEN]
        if found not in (None, 0, 1):
            raise ConfigError(
                f"{self.path}: row {row['fid']}: {CLASS_SEEN} is {str(found)[:60]!r}; expected "
                "true, false, or nothing where it is not known"
            )
        return None if found is None else bool(found)

    def _judged(
        self, number: int, kind: str, true_class: Any, fields: Mapping[str, Any] | sqlite3.Row
    ) -> tuple[str | None, dict[str, int] | None]:
        """The class and the missed ones of a row, if they can be meant."""
        name = f"{self.path}: row {number} ({kind})"
        text = str(true_class).strip().lower().replace(" ", "-").replace("_", "-")
        said = text if true_class is not None and text else None
        wanted = OF_CELLS if kind == CELL else NEW_CLASSES
        if said is not None and said not in wanted:
            raise ConfigError(
                f"{name}: true_class is {str(true_class)[:60]!r}; expected {', '.join(wanted)}"
            )
        counts = {name: fields[field] for field, name in MISSED.items()}
        if all(each is None for each in counts.values()):
            return said, None
        for field, each in counts.items():
            if each is not None and (type(each) is not int or each < 0):
                raise ConfigError(
                    f"{name}: {each!r} missed {field}; expected a whole number, 0 or more"
                )
        missed = {of: int(each or 0) for of, each in counts.items()}
        number = sum(list(missed.values()))
        if kind == BUILDING:
            raise ConfigError(f"{name}: counts missed buildings; expected that of cells alone")
        if said is not None and number:
            raise ConfigError(
                f"{name}: true_class is {said}, and {number} are counted as missed; "
                "leave one of both empty"
            )
        return said, missed


def _stratum(row: sqlite3.Row) -> Stratum:
    shares = [row[f"share_{name.replace('-', '_')}"] for name in DAMAGE_NAMES]
    return Stratum(
        row["stratum"], row["kind"], row["mapped_class"], row["size"], row["sampled"],
        None if None in shares else tuple(shares),
    )  # fmt: skip


def _corners(of: FinishedMap, geometry: bytes | None, kind: str) -> Any:
    """Of a cell, pixels."""
    if kind == BUILDING:
        return np.zeros((2, 2)).tolist()
    try:
        ring = of.to_pixels(blob.decode(geometry or b""))[0][0]
    except (ValueError, IndexError) as error:
        raise ConfigError(f"{of.folder / SAMPLE}: a cell without its outline") from error
    return [ring.min(axis=0).tolist(), ring.max(axis=0).tolist()]

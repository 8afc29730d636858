"""The sample of a map: drawn once, checked by people, read back row by row."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.corrections import blob, package
from runtime.corrections.aside import move_aside
from runtime.corrections.finished_map import Columns, FinishedMap
from runtime.corrections.store import DAMAGE_NAMES, NEW_CLASSES, Corrections
from runtime.counts import strata
from runtime.counts.ground import Cells, cells_of, side_for
from runtime.counts.sample_file import (
    BUILDING,
    CELL,
    COLUMNS,
    DESIGN,
    KNOWN,
    MISSED,
    OF_CELLS,
    OF_ROWS,
    SAMPLE,
    STRATA,
    TABLE,
    style,
)
from runtime.damage import NODATA_NAME
from runtime.errors import ConfigError
from runtime.output.geopackage import GEOMETRY_COLUMN
from runtime.output.style import keep_style

_STYLE_TIME = "1970-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Row:
    """What is checked: a building, or a cell in which missing ones are looked for.

    id: number of the feature. true_class: None where it is empty.
    missed: by class, of a cell; None where all four fields are empty.
    """

    id: int
    kind: str
    building: int | None
    stratum: int
    true_class: str | None
    missed: dict[str, int] | None
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
    """building: None for one that was drawn."""

    building: int | None
    mapped_class: str | None
    true_class: str


class Sample:
    """That of the map in `folder`.

    Raises ConfigError where none was drawn, or it is of another map, or a field holds what cannot
    be meant; the message names the row.
    """

    def __init__(self, folder: Path | str) -> None:
        self.corrections = Corrections(folder)
        self.map = self.corrections.map
        self.path = self.map.folder / SAMPLE
        if not self.path.exists():
            raise ConfigError(
                f"{self.path}: does not exist; draw a sample with dual-hrnet counts sample "
                f"{self.map.folder}"
            )
        with package.reading(self.path) as base:
            package.check_origin(base, self.path, self.map)
            self.rows = [self._row(each) for each in base.execute(f"SELECT * FROM {TABLE}")]
            self.strata = [_stratum(each) for each in base.execute("SELECT * FROM strata")]
            self.known = [
                Known(each["building"], each["mapped_class"], each["true_class"])
                for each in base.execute("SELECT * FROM known")
            ]
            self.design = dict(base.execute("SELECT name, value FROM design").fetchall())
        self._check_whole()

    def check(
        self, row: int, true_class: str | None, missed: Mapping[str, int] | None = None
    ) -> None:
        """Say what a row is, as a person would in a GIS; `missed` by class, of a cell."""
        found = next((each for each in self.rows if each.id == row), None)
        if found is None:
            raise ConfigError(f"{self.path}: has no row {row}; expected one of {len(self.rows)}")
        unknown = set(missed or {}) - set(DAMAGE_NAMES)
        if unknown:
            raise ConfigError(f"missed {sorted(unknown)[0]!r}: expected {', '.join(DAMAGE_NAMES)}")
        counts = {field: (missed or {}).get(name, 0) for field, name in MISSED.items()}
        values = dict(counts) if missed else dict.fromkeys(MISSED)
        self._judged(found.id, found.kind, true_class, values)
        with package.writing(self.path, lambda base: None) as base:
            package.check_origin(base, self.path, self.map)
            fields = ", ".join(f"{name} = ?" for name in ("true_class", *values))
            base.execute(
                f"UPDATE {TABLE} SET {fields} WHERE fid = ?", (true_class, *values.values(), row)
            )

    def _check_whole(self) -> None:
        """Raises ConfigError where rows were deleted, added or made another."""
        for each in self.strata:
            rows = [row for row in self.rows if (row.kind, row.stratum) == (each.kind, each.number)]
            if len(rows) != each.sampled:
                raise ConfigError(
                    f"{self.path}: {len(rows)} rows of stratum {each.number}, {each.sampled} were "
                    "drawn; rows are not to be added or deleted: draw another sample"
                )
        buildings = [row.building for row in self.rows if row.kind == BUILDING]
        if len(set(buildings)) != len(buildings) or None in buildings:
            raise ConfigError(
                f"{self.path}: two rows of one building, or one of none; the field building is "
                "not to be changed: draw another sample"
            )

    def _row(self, row: sqlite3.Row) -> Row:
        true_class, missed = self._judged(row["fid"], row["kind"], row["true_class"], row)
        (left, top), (right, bottom) = _corners(self.map, row["geom"], row["kind"])
        return Row(
            row["fid"], row["kind"], row["building"], row["stratum"], true_class, missed,
            (left, top, right, bottom),
        )  # fmt: skip

    def _judged(
        self, number: int, kind: str, true_class: Any, fields: Mapping[str, Any] | sqlite3.Row
    ) -> tuple[str | None, dict[str, int] | None]:
        """The class and the missed ones of a row, if they can be meant."""
        name = f"{self.path}: row {number} ({kind})"
        text = str(true_class).strip().lower().replace(" ", "-").replace("_", "-")
        said = text if true_class is not None and text else None
        if said is not None and said not in OF_ROWS:
            raise ConfigError(
                f"{name}: true_class is {str(true_class)[:60]!r}; expected {', '.join(OF_ROWS)}"
            )
        if said is not None and (said in OF_CELLS) != (kind == CELL):
            wanted = ", ".join(OF_CELLS if kind == CELL else NEW_CLASSES)
            raise ConfigError(f"{name}: true_class is {said}; expected {wanted}")
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


def draw(
    folder: Path | str,
    buildings: int = 200,
    cells: int | None = None,
    seed: int = 0,
    side: int | None = None,
    replace: bool = False,
) -> Sample:
    """Draw a sample and write it beside the map.

    cells: to search for missed buildings; None: half as many as buildings. side: of a cell, pixels.
    replace: a sample that is there is moved aside.
    Raises ConfigError for numbers that cannot be meant, and where a sample is there already.
    """
    _check_numbers(buildings, cells, side, seed)
    corrections = Corrections(folder)
    of = corrections.map
    path = of.folder / SAMPLE
    if path.exists() and not replace:
        raise ConfigError(
            f"{path}: is there already, and may be checked; --replace moves it aside and draws "
            "another"
        )
    columns = of.columns()
    known = [Known(each.building, each.old_class, each.new_class) for each in corrections.all()]
    taken = np.array([each.building for each in known if each.building is not None], np.int64)
    frame = ~np.isin(columns.ids, taken) & (columns.classes != NODATA_NAME)
    if not frame.any():
        raise ConfigError(
            f"{of.folder}: no building is left to check; expected a map with buildings that were "
            "not corrected yet"
        )
    wanted = buildings // 2 if cells is None else cells
    if of.summary.get("footprints"):
        wanted = 0
    ground = cells_of(of, side or side_for(of.height, of.width, wanted)) if wanted else None
    if replace and path.exists():
        move_aside(path)
    left_out = int((columns.classes == NODATA_NAME).sum())
    design = {
        "seed": seed,
        "buildings_not_computed": left_out,
        "cell_px": ground.side if ground else 0,
        "cells_not_computed": ground.without if ground else 0,
        "cells_partly_computed": ground.partly if ground else 0,
    }

    def begin(base: sqlite3.Connection) -> None:
        if package.has(base, TABLE):
            raise ConfigError(f"{path}: another process has drawn a sample there")
        package.begin(base, of, TABLE, COLUMNS, "Sample to check: fill true_class")
        package.add_table(base, "strata", STRATA, "Strata of the sample")
        package.add_table(base, "known", KNOWN, "Corrected before the sample was drawn")
        package.add_table(base, "design", DESIGN, "How the sample was drawn")
        package.add_origin(base, of)
        keep_style(base, TABLE, GEOMETRY_COLUMN, _STYLE_TIME, style())
        base.executemany(
            "INSERT INTO known (building, mapped_class, true_class) VALUES (?, ?, ?)",
            [(each.building, each.mapped_class, each.true_class) for each in known],
        )
        base.executemany(
            "INSERT INTO design (name, value) VALUES (?, ?)",
            [(name, str(value)) for name, value in design.items()],
        )

    with package.writing(path, begin) as base:
        _add_buildings(base, of, columns, frame, buildings, seed)
        if ground:
            _add_cells(base, of, ground, wanted, seed)
    return Sample(of.folder)


def _add_buildings(
    base: sqlite3.Connection, of: FinishedMap, columns: Columns, frame: Any, wanted: int, seed: int
) -> None:
    ids, classes = columns.ids[frame], columns.classes[frame]
    names, mapped = np.unique(classes.astype(str), return_inverse=True)
    sure = columns.confidence[frame]
    labels = strata.by_class_and_confidence(mapped.astype(np.int64), sure, wanted)
    size = np.bincount(labels)
    numbers = strata.allocated(size, strata.spread_of(labels, sure), wanted)
    picked = strata.drawn(labels, numbers, seed)
    shares = columns.shares[frame]
    for each in range(len(size)):
        here = labels == each
        _add_stratum(
            base, each, BUILDING, str(names[mapped[here][0]]), int(size[each]),
            int(numbers[each]), shares[here].mean(axis=0).tolist(),
        )  # fmt: skip
    stratum_of = dict(zip(ids[picked].tolist(), labels[picked].tolist(), strict=True))
    srs, kind = package.srs_of(base, TABLE), package.kind_of(of)
    for found in of.buildings(list(stratum_of)):
        stratum = stratum_of[found.id]
        outline = [[of.to_file(ring) for ring in polygon] for polygon in found.polygons]
        base.execute(
            f"INSERT INTO {TABLE} (geom, kind, building, mapped_class, stratum, chance, "
            "true_class) VALUES (?, ?, ?, ?, ?, ?, '')",
            (
                blob.encode(outline, srs, kind), BUILDING, found.id, found.damage_class, stratum,
                numbers[stratum] / size[stratum],
            ),
        )  # fmt: skip


def _add_cells(
    base: sqlite3.Connection, of: FinishedMap, ground: Cells, wanted: int, seed: int
) -> None:
    labels = strata.by_suspicion(ground.suspicion)
    size = np.bincount(labels)
    numbers = strata.allocated(size, 1 / size, wanted)
    begun = base.execute("SELECT count(*) FROM strata").fetchone()[0]
    for each in range(len(size)):
        _add_stratum(base, begun + each, CELL, None, int(size[each]), int(numbers[each]), None)
    srs, kind = package.srs_of(base, TABLE), package.kind_of(of)
    for index in strata.drawn(labels, numbers, seed + 1).tolist():
        stratum = int(labels[index])
        outline = of.to_file(ground.ring(index, of.height, of.width))
        base.execute(
            f"INSERT INTO {TABLE} (geom, kind, stratum, chance, true_class) "
            "VALUES (?, ?, ?, ?, '')",
            (
                blob.encode([[outline]], srs, kind), CELL, begun + stratum,
                numbers[stratum] / size[stratum],
            ),
        )  # fmt: skip


def _add_stratum(
    base: sqlite3.Connection,
    number: int,
    kind: str,
    mapped_class: str | None,
    size: int,
    sampled: int,
    shares: list[float] | None,
) -> None:
    marks = ", ".join("?" * (5 + len(DAMAGE_NAMES)))
    names = "stratum, kind, mapped_class, size, sampled, " + ", ".join(
        f"share_{name.replace('-', '_')}" for name in DAMAGE_NAMES
    )
    means = shares if shares and sum(shares) > 0 else [None] * len(DAMAGE_NAMES)
    base.execute(
        f"INSERT INTO strata ({names}) VALUES ({marks})",
        (number, kind, mapped_class, size, sampled, *means),
    )


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


def _check_numbers(buildings: int, cells: int | None, side: int | None, seed: int) -> None:
    for name, value, least in (("n", buildings, 20), ("cells", cells, 0), ("cell", side, 8)):
        if value is not None and value < least:
            raise ConfigError(f"--{name} {value}: expected {least} or more")
    if cells is not None and 0 < cells < 6:
        raise ConfigError(f"--cells {cells}: expected 6 or more, or 0 for none")
    if seed < 0:
        raise ConfigError(f"--seed {seed}: expected 0 or more")

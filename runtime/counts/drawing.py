"""Which buildings and cells of a map are in its sample, written beside it to be checked."""

from __future__ import annotations

import sqlite3
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from runtime.corrections import blob, package
from runtime.corrections.aside import move_aside
from runtime.corrections.building import Columns
from runtime.corrections.finished_map import FinishedMap
from runtime.corrections.store import DAMAGE_NAMES, Corrections
from runtime.counts import strata
from runtime.counts.ground import Cells, cells_of, side_for
from runtime.counts.sample import Known, Sample
from runtime.counts.sample_file import (
    BUILDING,
    CELL,
    COLUMNS,
    DESIGN,
    DIGEST,
    KNOWN,
    SAMPLE,
    STRATA,
    TABLE,
    digest,
    style,
)
from runtime.damage import NODATA_NAME
from runtime.errors import ConfigError
from runtime.output.geopackage import GEOMETRY_COLUMN
from runtime.output.style import keep_style

_STYLE_TIME = "1970-01-01T00:00:00.000Z"


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
    there = path.exists() and path.stat().st_size > 0
    if there and not replace:
        raise ConfigError(
            f"{path}: is there already, and may be checked; --replace moves it aside and draws "
            "another"
        )
    columns = of.columns()
    known = [Known.of(each) for each in corrections.all()]
    taken = np.array([each.building for each in known if each.building is not None], np.int64)
    frame = ~np.isin(columns.ids, taken) & (columns.classes != NODATA_NAME)
    wanted = buildings // 2 if cells is None else cells
    if of.summary.get("footprints"):
        wanted = 0
    ground = cells_of(of, side or side_for(of.height, of.width, wanted)) if wanted else None
    if not frame.any() and not ground:
        raise ConfigError(
            f"{of.folder}: no building is left to check, and no ground to search for missed ones; "
            "expected buildings that were not corrected yet, or cells of ground that was computed"
        )
    if there:
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
            "INSERT INTO known (building, mapped_class, true_class, outline) VALUES (?, ?, ?, ?)",
            [astuple(each) for each in known],
        )
        base.executemany(
            "INSERT INTO design (name, value) VALUES (?, ?)",
            [(name, str(value)) for name, value in design.items()],
        )

    with package.writing(path, begin) as base:
        if frame.any():
            _add_buildings(base, of, columns, frame, buildings, seed)
        if ground:
            _add_cells(base, of, ground, wanted, seed)
        base.execute("INSERT INTO design (name, value) VALUES (?, ?)", (DIGEST, digest(base)))
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
            f"INSERT INTO {TABLE} (geom, kind, building, stratum, chance, true_class) "
            "VALUES (?, ?, ?, ?, ?, '')",
            (
                blob.encode(outline, srs, kind), BUILDING, found.id, stratum,
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


def _check_numbers(buildings: int, cells: int | None, side: int | None, seed: int) -> None:
    for name, value, least in (("n", buildings, 20), ("cells", cells, 0), ("cell", side, 8)):
        if value is not None and value < least:
            raise ConfigError(f"--{name} {value}: expected {least} or more")
    if cells is not None and 0 < cells < 6:
        raise ConfigError(f"--cells {cells}: expected 6 or more, or 0 for none")
    if seed < 0:
        raise ConfigError(f"--seed {seed}: expected 0 or more")

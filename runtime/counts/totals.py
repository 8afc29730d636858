"""Totals by class, with intervals, from a checked sample and the map that it was drawn from."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from runtime import files
from runtime.corrections.store import DAMAGE_NAMES, NOT_A_BUILDING, Corrections
from runtime.counts import estimator, intervals
from runtime.counts.checked import Checked, checked
from runtime.counts.estimate_file import ESTIMATE, ORIGIN
from runtime.counts.estimator import Part, Predicted, Strata
from runtime.counts.intervals import Floats
from runtime.counts.sample import Row, Sample, Stratum, outline_of
from runtime.counts.sample_file import BUILDING, CELL
from runtime.counts.telling import notes, of_sight
from runtime.damage import UNCLASSIFIED
from runtime.errors import ConfigError

LEVEL = 0.95
POWERED, STRATIFIED = "prediction-powered", "stratified"
METHODS = (POWERED, STRATIFIED)

CLASSES = (*DAMAGE_NAMES, UNCLASSIFIED, NOT_A_BUILDING)

SHOWN = 5
"""Rows that a message names."""


def estimate(
    folder: Path | str, method: str = POWERED, partial: bool = False, level: float = LEVEL
) -> dict[str, Any]:
    """Estimate, and write estimate.json beside the map; its content.

    method: POWERED uses what the map's own shares say of each building, STRATIFIED its class alone.
    partial: rows that nobody checked are left out, as if a lot had chosen the others.
    Raises ConfigError for a sample that is not whole, or that corrections contradict.
    """
    if method not in METHODS:
        raise ConfigError(f"--method {method}: expected one of {', '.join(METHODS)}")
    if not 0.5 <= level < 1:
        raise ConfigError(f"--level {level}: expected 0.5 or more and below 1, such as 0.95")
    sample = Sample(folder)
    corrections = sample.corrections
    rows = checked(sample)
    if conflicts := [each.conflict for each in rows if each.conflict]:
        raise ConfigError(conflicts[0])
    open_rows = [each.row for each in rows if each.is_open]
    if open_rows and not partial:
        raise ConfigError(_unfinished(sample, open_rows))
    done = [each for each in rows if not each.is_open]
    z = intervals.quantile(level)
    known = _known(sample, corrections)
    buildings = [each for each in done if each.row.kind == BUILDING]
    cells = [each for each in done if each.row.kind == CELL]
    parts, powered = _of_buildings(sample, buildings, method, z)
    missing = _of_cells(sample, cells, z)
    if missing:
        parts.append(missing[0])
    total, low, high = intervals.of_sum([(each.total, (each.low, each.high)) for each in parts])
    fixed = np.array([known[name] for name in CLASSES], np.float64)
    mapped = corrections.mapped()
    classes = {
        name: {
            "mapped": mapped.get(name, 0),
            **_rounded(total[index] + fixed[index], low[index] + fixed[index],
                       high[index] + fixed[index]),
        }
        for index, name in enumerate(CLASSES)
        if name != UNCLASSIFIED or total[index] + fixed[index]
    }  # fmt: skip
    content = {
        "classes": classes,
        "missed": None if missing is None else _rounded(*missing[1]),
        "level": level,
        "method": POWERED if powered else STRATIFIED,
        "checked": len(buildings),
        "checked_blind": sum(each.class_seen is False for each in buildings),
        "checked_class_seen": sum(each.class_seen is True for each in buildings),
        "cells": len(cells),
        "known": len(sample.known),
        "not_checked": len(open_rows),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "corrections": corrections.count(),
        ORIGIN: sample.map.sha256,
        "notes": [*notes(sample, open_rows, missing is not None), *of_sight(buildings)],
    }
    files.write_json(sample.map.folder / ESTIMATE, content)
    return content


def _rounded(total: Any, low: Any, high: Any) -> dict[str, float]:
    """Outwards, so that rounding shortens nothing."""
    return {
        "estimate": round(float(total), 1),
        "low": float(np.floor(float(low) * 10 + 1e-6) / 10),
        "high": float(np.ceil(float(high) * 10 - 1e-6) / 10) + 0.0,  # never -0
    }


def _known(sample: Sample, corrections: Corrections) -> Counter[str]:
    """Buildings by class that were corrected before the draw, as they are corrected now."""
    now = {(each.building, outline_of(each)): each.new_class for each in corrections.all()}
    found: Counter[str] = Counter()
    for each in sample.known:
        if (key := (each.building, each.outline)) in now:
            found[now[key]] += 1
            continue
        which = (
            "a building that was drawn" if each.building is None else f"building {each.building}"
        )
        raise ConfigError(
            f"{sample.path}: {which} ({each.true_class}) was among the corrections when the sample "
            "was drawn, and is not any more; correct it again, or draw another sample"
        )
    return found


def _of_buildings(
    sample: Sample, checked: list[Checked], method: str, z: float
) -> tuple[list[Part], bool]:
    """Buildings of the map by class, in parts; were the map's shares used?"""
    strata = [each for each in sample.strata if each.kind == BUILDING]
    if not strata:
        return [], False
    place = {each.number: index for index, each in enumerate(strata)}
    rows: list[list[Checked]] = [[] for _ in strata]
    for each in checked:
        rows[place[each.row.stratum]].append(each)
    for stratum, here in zip(strata, rows, strict=True):
        _check_enough(sample, stratum, len(here))
    one = np.eye(len(CLASSES))
    true = [np.array([one[CLASSES.index(str(e.true_class))] for e in here]) for here in rows]
    found = np.stack([each.sum(axis=0) for each in true])
    own = np.array([[name == each.mapped_class for name in CLASSES] for each in strata])
    size = np.array([each.size for each in strata], np.float64)
    sizes = Strata(size, np.array([len(each) for each in rows], np.float64), own)
    powered = method == POWERED and all(each.shares for each in strata)
    predicted = _predicted(sample, strata, rows, true) if powered else None
    return list(estimator.parts(found, sizes, z, predicted)), powered


def _predicted(
    sample: Sample, strata: list[Stratum], rows: list[list[Checked]], true: list[Floats]
) -> Predicted:
    """What the map's shares say, and how what was checked goes along with it."""
    columns = sample.map.columns()
    at = {number: index for index, number in enumerate(columns.ids.tolist())}
    more = np.zeros((len(strata), len(CLASSES) - len(DAMAGE_NAMES)))
    mean = np.column_stack([np.array([each.shares for each in strata], np.float64), more])
    seen, variance, covariance = (np.zeros_like(mean) for _ in range(3))
    for index, (here, classes) in enumerate(zip(rows, true, strict=True)):
        said = np.zeros((len(here), len(CLASSES)))
        said[:, : len(DAMAGE_NAMES)] = columns.shares[[at[int(e.row.building or 0)] for e in here]]
        seen[index] = said.mean(axis=0)
        if len(here) > 1:
            variance[index] = said.var(axis=0, ddof=1)
            apart = (classes - classes.mean(axis=0)) * (said - seen[index])
            covariance[index] = apart.sum(axis=0) / (len(here) - 1)
    return Predicted(mean, seen, variance, covariance)


def _of_cells(
    sample: Sample, checked: list[Checked], z: float
) -> tuple[Part, tuple[Any, Any, Any]] | None:
    """Missed buildings by class, and all together; None where no cell was drawn."""
    strata = [each for each in sample.strata if each.kind == CELL]
    if not strata:
        return None
    found, squares, numbers = [], [], []
    for stratum in strata:
        here = [each for each in checked if each.row.stratum == stratum.number]
        _check_enough(sample, stratum, len(here))
        counts = np.array(
            [[(each.missed or {}).get(name, 0) for name in CLASSES] for each in here], np.float64
        )
        counts = np.column_stack([counts, counts.sum(axis=1)])
        found.append(counts.sum(axis=0))
        squares.append((counts**2).sum(axis=0))
        numbers.append(len(here))
    size = np.array([each.size for each in strata], np.float64)
    part = estimator.missed(
        np.stack(found), np.stack(squares), size, np.array(numbers, np.float64), z
    )
    # What is missed is a building.
    there = np.array([name != NOT_A_BUILDING for name in CLASSES], np.float64)
    drawn = any(found_in[CLASSES.index(UNCLASSIFIED)] for found_in in found)
    there[CLASSES.index(UNCLASSIFIED)] = float(drawn)
    by_class = Part(*(each[:-1] * there for each in (part.total, part.low, part.high)))
    return by_class, (part.total[-1], part.low[-1], part.high[-1])


def _check_enough(sample: Sample, stratum: Stratum, checked: int) -> None:
    least = min(2, stratum.size)
    if checked < least:
        what = f"of {stratum.mapped_class}" if stratum.mapped_class else "of cells"
        raise ConfigError(
            f"{sample.path}: {checked} of {stratum.sampled} rows of stratum {stratum.number} "
            f"({what}) are checked, which tells nothing of it; check {least} at least"
        )


def _unfinished(sample: Sample, rows: list[Row]) -> str:
    kinds = Counter(row.kind for row in rows)
    named = ", ".join(str(row.id) for row in rows[:SHOWN])
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    what = " and ".join(f"{number} {kind}s" for kind, number in kinds.items())
    return (
        f"{sample.path}: {what} of {len(sample.rows)} rows are not checked (rows {named}{more}); "
        "fill true_class, or give --partial to leave them out as if a lot had chosen the others"
    )

"""The sample of a map: drawn, checked row by row, and what is estimated from it."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Path as InPath

from runtime.counts import Sample, draw, estimate
from runtime.counts.checked import Checked, checked
from runtime.counts.sample import Row
from runtime.counts.sample_file import BUILDING, NOTHING_MISSED
from runtime.errors import ConfigError, reason
from runtime.serve import models
from runtime.serve.answers import Box
from runtime.serve.errors import RefusedError, missing
from runtime.serve.requests_buildings import take_back
from runtime.serve.service import Service

router = APIRouter(prefix="/api/jobs/{id}", tags=["sample"])

Number = Annotated[int, InPath(ge=0, le=1 << 53)]


@router.post("/sample", status_code=201)
def draw_sample(id: str, asked: models.NewSample, box: Box) -> models.Sample:
    """Draw one. One that is there already is replaced as long as nothing of it is checked."""
    maps, there = box.maps(id), box.has_sample(id)
    begun = there and any(not each.is_open for each in checked(box.sample(id)))
    try:
        draw(maps, asked.n, seed=asked.seed, replace=there and not begun)
    except ConfigError as error:
        raise RefusedError(409 if begun else 400, reason(error)) from error
    return sample(id, box)


@router.get("/sample")
def sample(id: str, box: Box) -> models.Sample:
    """All rows, and how many are checked."""
    found = box.sample(id)
    rows = checked(found)
    done = sum(not each.is_open and each.conflict is None for each in rows)
    return models.Sample(id=_id_of(found), rows=_told(box, id, rows), checked=done, of=len(rows))


@router.put("/sample/{row}")
def check(id: str, row: Number, asked: models.NewCheck, box: Box) -> models.Row:
    """Say what a row is. A building is corrected with it, too, as if that had been asked for."""
    found = box.sample(id)
    if asked.sample not in (None, _id_of(found)):
        raise RefusedError(409, f"job {id}: another sample was drawn meanwhile; load it again")
    kinds = {each.id: (each.kind, each.building) for each in found.rows}
    if row not in kinds:
        raise missing(f"row {row} of the sample of job {id}")
    kind, building = kinds[row]
    if kind == BUILDING:
        if asked.missed is not None:
            raise RefusedError(400, f"row {row}: is a building; expected missed of a cell alone")
        _correct(box, id, building or 0, asked)
    _check(found, row, asked)
    now = [each for each in checked(box.sample(id)) if each.row.id == row]
    return _told(box, id, now)[0]


@router.post("/estimate")
def estimate_totals(id: str, box: Box) -> dict[str, Any]:
    """Totals by class with intervals, from a sample that is checked: estimate.json."""
    box.sample(id)
    return estimate(box.maps(id))


def _id_of(found: Sample) -> str:
    """By what was drawn: a row of another sample has the same number."""
    rows = [(each.id, each.building, each.corners) for each in found.rows]
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]


def _correct(box: Service, id: str, building: int, asked: models.NewCheck) -> None:
    if asked.class_ is None:
        take_back(box, id, building)
    else:
        box.corrections(id).set(building, asked.class_, asked.who)


def _check(found: Sample, row: int, asked: models.NewCheck) -> None:
    """A cell in which none is missed is said to be that."""
    missed = {str(name): count for name, count in (asked.missed or {}).items() if count}
    searched = asked.missed is not None and not missed
    said = asked.class_ or (NOTHING_MISSED if searched else None)
    found.check(row, said, missed, asked.class_seen)


def _told(box: Service, id: str, rows: list[Checked]) -> list[models.Row]:
    numbers = [each.row.building for each in rows if each.row.building is not None]
    buildings = box.listing(id).some(numbers)
    if gone := set(numbers) - set(buildings):
        raise missing(f"building {min(gone)} of the sample of job {id}")
    return [
        models.Row(
            row=each.row.id,
            kind="building" if each.row.kind == BUILDING else "cell",
            building=each.row.building,
            true_class=each.true_class,
            class_seen=each.class_seen,
            missed=each.missed,
            drawn=each.drawn,
            conflict=each.conflict,
            **_place(each.row, buildings),
        )
        for each in rows
    ]


def _place(row: Row, buildings: dict[int, dict[str, Any]]) -> dict[str, Any]:
    if row.building is not None:
        return {name: buildings[row.building][name] for name in ("ring", "centre")}
    left, top, right, bottom = row.corners
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    return {"ring": ring, "centre": [(left + right) / 2, (top + bottom) / 2]}

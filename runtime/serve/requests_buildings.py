"""The buildings of a map, and what people say of them."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi import Path as InPath

from runtime.corrections import Correction
from runtime.serve import models
from runtime.serve.answers import Box
from runtime.serve.errors import RefusedError, missing
from runtime.serve.service import Service

router = APIRouter(prefix="/api/jobs/{id}", tags=["buildings"])

Number = Annotated[int, InPath(ge=0, le=1 << 53)]
Pixel = Annotated[float | None, Query(allow_inf_nan=False, description="pixels of the map")]


@router.get("/buildings")
def buildings(
    id: str,
    box: Box,
    sort: Literal["confidence", "id"] = "confidence",
    offset: Annotated[int, Query(ge=0, le=1 << 40)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    min_x: Pixel = None,
    min_y: Pixel = None,
    max_x: Pixel = None,
    max_y: Pixel = None,
    class_: Annotated[
        str | None, Query(alias="class", max_length=40, description="as corrected")
    ] = None,
) -> models.Buildings:
    """By pages; the least certain first. Within a box: those that touch it."""
    sides = [min_x, min_y, max_x, max_y]
    given = [side for side in sides if side is not None]
    if len(given) not in (0, 4):
        raise RefusedError(400, "expected all of min_x, min_y, max_x and max_y, or none")
    within = (given[0], given[1], given[2], given[3]) if given else None
    page = box.listing(id).page(sort, offset, limit, within, class_)
    return models.Buildings(
        total=page.total, buildings=[models.Building(**each) for each in page.buildings]
    )


@router.get("/buildings/{building}")
def one(id: str, building: Number, box: Box) -> models.Building:
    """One of them."""
    return _one(box, id, building)


@router.put("/buildings/{building}/correction")
def correct(id: str, building: Number, asked: models.NewCorrection, box: Box) -> models.Building:
    """Say what it is. The class that it has says that it was looked at and is right."""
    _one(box, id, building)
    box.corrections(id).set(building, asked.class_, asked.who)
    return _one(box, id, building)


@router.delete("/buildings/{building}/correction")
def as_mapped(id: str, building: Number, box: Box) -> models.Building:
    """Take back what was said of it."""
    _one(box, id, building)
    take_back(box, id, building)
    return _one(box, id, building)


@router.get("/drawn")
def drawn(id: str, box: Box) -> list[models.Correction]:
    """Buildings that the map does not have."""
    return [_told(each) for each in box.corrections(id).all() if each.building is None]


@router.post("/drawn", status_code=201)
def draw(id: str, asked: models.NewDrawn, box: Box) -> models.Correction:
    """Add one."""
    ring = [(point[0], point[1]) for point in asked.ring]
    return _told(box.corrections(id).add(ring, asked.class_, asked.who))


@router.delete("/drawn/{correction}", status_code=204)
def erase(id: str, correction: Number, box: Box) -> Response:
    """Take one back."""
    corrections = box.corrections(id)
    if not any(each.id == correction and each.building is None for each in corrections.all()):
        raise missing(f"drawn building {correction} of job {id}")
    corrections.remove(correction)
    return Response(status_code=204)


def take_back(box: Service, id: str, building: int) -> None:
    corrections = box.corrections(id)
    for each in corrections.all():
        if each.building == building:
            corrections.remove(each.id)


def _one(box: Service, id: str, building: int) -> models.Building:
    found = box.listing(id).one(building)
    if found is None:
        raise missing(f"building {building} of job {id}")
    return models.Building(**found)


def _told(correction: Correction) -> models.Correction:
    told: dict[str, Any] = dataclasses.asdict(correction)
    return models.Correction(**told)

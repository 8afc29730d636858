"""A finished map: its figures, tiles and files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from runtime.counts import estimate_file
from runtime.output.legend import LEGENDS
from runtime.serve import handed, models, tiles, views
from runtime.serve.answers import Box
from runtime.serve.errors import RefusedError, missing

router = APIRouter(prefix="/api/jobs/{id}", tags=["maps"])

Layer = Literal["before", "after", "damage", "confidence", "quality"]
Index = Annotated[int, InPath(ge=0, le=1 << 30)]

KEEP = "private, max-age=604800, immutable"
"""A finished map does not change, and its job's id is never another's."""


@router.get("/summary")
def summary(id: str, box: Box) -> models.Summary:
    """Its figures, as mapped and as corrected."""
    content, corrections = box.summary(id), box.corrections(id)
    return models.Summary(
        summary=content,
        mapped=corrections.mapped(),
        corrected=corrections.totals(),
        corrections=box.corrected(box.job(id)),
        estimate=estimate_file.read(box.maps(id), content),
        sample=box.has_sample(id),
    )


@router.get("/map", response_model_by_alias=True)
def about(id: str, box: Box) -> models.Map:
    """What the tiles are of."""
    content = box.summary(id)
    size = content["height"], content["width"]
    legend = [
        models.LegendEntry(**{"class": name}, label=name, colour="#{:02x}{:02x}{:02x}".format(*c))
        for _, name, c in LEGENDS["damage"].entries()
    ]
    return models.Map(
        width=size[1],
        height=size[0],
        tile=views.TILE,
        max_zoom=tiles.max_zoom(size),
        layers=list(views.LAYERS),
        placed="damage.tif" in content.get("files", {}),
        legend=legend[1:],  # without the background
    )


@router.get(
    "/tiles/{layer}/{z}/{x}/{y}.png",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, 304: {"description": "as it was"}},
)
def tile(
    id: str,
    layer: Layer,
    z: Annotated[int, InPath(ge=0, le=40)],
    x: Index,
    y: Index,
    request: Request,
    box: Box,
) -> Response:
    """256 x 256 pixels; transparent beyond the map, and where there is nothing to say."""
    content = box.summary(id)
    folder = box.places.views / id
    try:
        tag = f'"{folder.stat().st_mtime_ns:x}-{layer}-{z}-{x}-{y}"'
    except FileNotFoundError:
        raise RefusedError(404, f"job {id}: cannot be shown; see its notes") from None
    headers = {"etag": tag, "cache-control": KEEP}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    found = tiles.tile(folder, layer, (content["height"], content["width"]), z, x, y)
    if found is None:
        raise missing(f"tile {z}/{x}/{y}")
    return Response(tiles.png(found), media_type="image/png", headers=headers)


@router.get("/files")
def files(id: str, box: Box) -> list[models.File]:
    """Those that may be taken away."""
    return [
        models.File(name=name, bytes=path.stat().st_size)
        for name, path in sorted(box.files(id).items())
    ]


@router.get(
    "/files/{name}",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {}}},
        206: {"description": "a part", "content": {"application/octet-stream": {}}},
        416: {"description": "a range that it has not", "content": {"text/plain": {}}},
    },
)
def file(id: str, name: str, box: Box) -> Response:
    """One of them, whole or a range."""
    path = box.files(id).get(name)
    if path is None:
        raise missing(f"file {name[:80]!r} of job {id}")
    return FileResponse(
        path, media_type="application/octet-stream", filename=f"{id}-{name}",
    )  # fmt: skip


@router.get("/sheet.html", response_class=Response, responses={200: {"content": {"text/html": {}}}})
def sheet_html(id: str, box: Box) -> Response:
    """A sheet to be printed."""
    return _sheet(id, box, "sheet.html", "text/html", "inline")


@router.get(
    "/sheet.pdf", response_class=Response, responses={200: {"content": {"application/pdf": {}}}}
)
def sheet_pdf(id: str, box: Box) -> Response:
    """The same as PDF."""
    return _sheet(id, box, "sheet.pdf", "application/pdf", "attachment")


@router.get(
    "/labels.zip",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}}},
)
def labels(id: str, box: Box) -> Response:
    """The corrected buildings as labels in xBD's format, to train with."""
    return _made(id, box, "labels.zip", "application/zip", "attachment")


def _sheet(id: str, box: Box, name: str, kind: str, how: str) -> Response:
    answer = _made(id, box, name, kind, how)
    answer.headers["content-security-policy"] = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
    )
    return answer


def _made(id: str, box: Box, name: str, kind: str, how: str) -> Response:
    """A file that is made for this request, and goes with it."""
    maps = box.maps(id)
    folder = tempfile.TemporaryDirectory(prefix=".made-", dir=box.places.views)
    try:
        path = handed.make(name, maps, box.job(id), Path(folder.name))
    except BaseException:
        folder.cleanup()
        raise
    return FileResponse(
        path, media_type=kind, filename=f"{id}-{name}", content_disposition_type=how,
        background=BackgroundTask(folder.cleanup),
    )  # fmt: skip

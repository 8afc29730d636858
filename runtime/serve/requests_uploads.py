"""Images come in, by parts."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from runtime.serve import models
from runtime.serve.answers import Box
from runtime.serve.content import TYPES
from runtime.serve.uploads import Part

router = APIRouter(prefix="/api", tags=["uploads"])

AT_ONCE = 1 << 20
"""Bytes that are written together."""
SILENCE = 60.0
"""Seconds without a byte after which a request is taken for ended."""


@router.get("/limits")
def limits(box: Box) -> models.Limits:
    """What may be uploaded."""
    return models.Limits(
        upload_bytes=box.uploads.most_bytes,
        types=list(TYPES),
        uploads=box.uploads.most,
        token=box.token,
    )


@router.post("/uploads", status_code=201)
def begin(asked: models.NewUpload, box: Box) -> models.Upload:
    """Announce an image."""
    found = box.uploads.begin(asked.name, asked.size, box.in_use())
    return models.Upload(id=found.id, name=found.name, size=found.size, offset=0)


@router.get("/uploads/{id}")
def there(id: str, box: Box) -> models.Upload:
    """How much of it is there."""
    found = box.uploads.get(id)
    return models.Upload(id=id, name=found.name, size=found.size, offset=box.uploads.offset(id))


@router.patch(
    "/uploads/{id}",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
            },
        }
    },
)
async def add(
    id: str,
    request: Request,
    box: Box,
    upload_offset: Annotated[int, Header(ge=0, le=1 << 50, description="where they belong")],
) -> models.Offset:
    """The next bytes, as many as there are. What came stays when the connection breaks: ask for the
    offset, and go on from there. With the last byte the image is looked at; what is none is thrown
    away (415)."""
    adding = box.uploads.adding(id, upload_offset)
    part = await run_in_threadpool(adding.__enter__)
    try:
        await _receive(request, part)
    except BaseException as error:  # also of a task that may wait for nothing any more
        adding.__exit__(type(error), error, error.__traceback__)
        raise
    await run_in_threadpool(adding.__exit__, None, None, None)
    return models.Offset(offset=part.offset)


async def _receive(request: Request, part: Part) -> None:
    gathered = bytearray()
    stream = request.stream()
    while True:
        try:
            gathered += await asyncio.wait_for(anext(stream), SILENCE)
        except (StopAsyncIteration, ClientDisconnect):  # nobody hears the answer of the second
            break
        except asyncio.TimeoutError:
            break
        if len(gathered) >= AT_ONCE:
            await run_in_threadpool(part.write, bytes(gathered))
            gathered.clear()
    if gathered:
        await run_in_threadpool(part.write, bytes(gathered))


@router.delete("/uploads/{id}", status_code=204)
def forget(id: str, box: Box) -> Response:
    """Throw it away; refused while a job uses it."""
    box.check_unused(id)
    box.uploads.forget(id)
    return Response(status_code=204)

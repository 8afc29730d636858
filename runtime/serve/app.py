"""The requests that a server answers, and how errors are told."""

from __future__ import annotations

import errno
import traceback
from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from runtime import cli
from runtime.errors import BackendError, ConfigError, reason
from runtime.many.outbox import os_reason
from runtime.serve import (
    requests_buildings,
    requests_jobs,
    requests_maps,
    requests_sample,
    requests_uploads,
)
from runtime.serve.answers import ERRORS
from runtime.serve.errors import RefusedError
from runtime.serve.guard import Guard, RequestTooLargeError
from runtime.serve.service import Service, version

PAGE = Path(__file__).parent / "page"

_ABOUT = """
Pairs of images come in, by upload or by the inbox folder, and are mapped one after the other.

All coordinates are pixels of the map: x right, y down, from the top left corner of the first pixel.
Where a map is placed, longitude and latitude are told as well.

Every error is `{"error": "one line"}`. A box that listens on more than this machine asks for its
token: `Authorization: Bearer TOKEN`.
"""


def make_app(service: Service, token: str | None, loopback: bool) -> Guard:
    app = FastAPI(
        title="Dual-HRNet on the box",
        description=_ABOUT,
        version=version(),
        openapi_url="/api/openapi.json",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        responses=ERRORS,
    )
    app.state.service = service
    for module in (
        requests_uploads, requests_jobs, requests_maps, requests_buildings, requests_sample,
    ):  # fmt: skip
        app.include_router(module.router)
    app.add_exception_handler(RefusedError, _told)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(ConfigError, _config)
    app.add_exception_handler(BackendError, _config)
    app.add_exception_handler(RequestTooLargeError, _large)
    app.add_exception_handler(OSError, _of_system)
    app.add_exception_handler(Exception, _unexpected)
    _add_files(app)
    return Guard(app, token, loopback)


def _add_files(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def index() -> Response:
        path = PAGE / "index.html"
        if not path.is_file():
            return _error(404, "the page is not installed; the API is at /api/openapi.json")
        return FileResponse(path, headers={"cache-control": "no-cache"})

    app.mount("/static", StaticFiles(directory=PAGE), name="static")
    app.mount("/vendor/leaflet", StaticFiles(directory=leaflet()), name="leaflet")


def leaflet() -> Path:
    """The folder of Leaflet's files, which come with a package."""
    try:
        found = find_spec("xstatic.pkg.leaflet")
    except ModuleNotFoundError:
        found = None
    if found is None or not found.submodule_search_locations:
        raise ConfigError(f"XStatic-Leaflet is not installed; {cli.install('serve')}")
    return Path(next(iter(found.submodule_search_locations))) / "data"


def _error(status: int, line: str, **fields: object) -> JSONResponse:
    return JSONResponse({"error": line, **fields}, status)


async def _told(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return _error(error.status, error.line, **error.fields)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(each) for each in first["loc"][1:]) or "the request"
    return _error(422, reason(ValueError(f"{where[:200]}: {first['msg']}")))


async def _of_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = _error(error.status_code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _config(_: Request, error: Exception) -> Response:
    return _error(400, reason(error))


async def _large(_: Request, error: Exception) -> Response:
    return _error(413, "the request is too large")


async def _of_system(_: Request, error: Exception) -> Response:
    """A disk that is full, or read-only."""
    assert isinstance(error, OSError)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return _error(507 if full else 500, os_reason(error, Path("the box")))


async def _unexpected(request: Request, error: Exception) -> Response:
    """A fault of ours: the line says where, the terminal has the rest."""
    cli.note(f"{request.method} {request.url.path}\n{''.join(traceback.format_exception(error))}")
    return _error(500, f"unexpected {type(error).__name__}; the box's terminal says where")

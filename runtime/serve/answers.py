"""What the groups of requests share: the service behind them, and the errors in the description."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request

from runtime.serve.models import Error
from runtime.serve.service import Service

_LINES = {
    400: "what was asked for does not fit",
    401: "the token is missing or wrong",
    403: "comes from another page",
    404: "there is none",
    405: "another method",
    409: "not in this state",
    413: "too large",
    415: "another type of content",
    422: "a value that cannot be meant",
    429: "too many",
    507: "the disk is full",
}

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": line} for status, line in _LINES.items()
}


def _service(request: Request) -> Service:
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


Box = Annotated[Service, Depends(_service)]

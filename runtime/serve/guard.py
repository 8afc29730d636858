"""Who may ask, and how much: in front of everything that answers.

On loopback the name that the browser asked for is looked at, so that no page elsewhere reaches the
box by a name that it made point here. Elsewhere a token is needed. What changes anything must come
from the box's own page, or from a program.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BODY = 1 << 20
"""Bytes of a request, but for the parts of an upload."""

COOKIE = "dual_hrnet_token"
MONTH = 30 * 86_400

_SAFE = {"GET", "HEAD", "OPTIONS"}
_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
"""Of every answer that does not say otherwise."""


class RequestTooLargeError(Exception):
    pass


class Guard:
    """token: None where none is needed. loopback: is it reached from this machine alone?"""

    def __init__(self, app: App, token: str | None, loopback: bool) -> None:
        self._app, self._loopback = app, loopback
        self._token = token.encode() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = _headers(scope)
        send = _with_headers(send, str(scope["path"]))
        refused = self._foreign(scope, headers)
        if refused:
            await _answer(send, *refused)
        elif self._token and not self._knows(headers) and (given := self._given(scope)):
            await _answer(send, 303, "", given)
        elif self._token and not self._knows(headers) and not _is_page(str(scope["path"])):
            line = "expected the token of this box, as the header Authorization: Bearer TOKEN"
            await _answer(send, 401, line, {"www-authenticate": "Bearer"})
        elif too_large := _too_large(scope, headers):
            await _answer(send, 413, too_large)
        else:
            limited = receive if _is_upload(scope) else _limited(receive)
            await self._app(scope, limited, send)

    def _foreign(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self._loopback and not _is_loopback(host):
            return 403, f"asked for by the name {host[:80]!r}; expected localhost or 127.0.0.1"
        if scope["method"] in _SAFE:
            return None
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, f"comes from the page {origin[:80]!r}; expected this box's own page"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return 403, "comes from another page; expected this box's own page"
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] in ("POST", "PUT") and _has_body(headers) and kind != "application/json":
            return 415, f"content type {kind[:80]!r}; expected application/json"
        return None

    def _knows(self, headers: dict[str, str]) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_right(given.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and self._is_right(cookie.value)

    def _is_right(self, given: str) -> bool:
        assert self._token
        return hmac.compare_digest(given.encode(errors="replace"), self._token)

    def _given(self, scope: Scope) -> dict[str, str] | None:
        """Headers of an answer to the right token in an address: a cookie has it from then on."""
        asked = parse_qsl(scope["query_string"].decode("latin-1"))
        given = [value for name, value in asked if name == "token"]
        if scope["method"] not in _SAFE or not given or not self._is_right(given[-1]):
            return None
        rest = urlencode([each for each in asked if each[0] != "token"])
        # Without the slashes that would make it another host.
        where = "/" + str(scope["path"]).lstrip("/\\") + (f"?{rest}" if rest else "")
        where = where if where.isascii() and where.isprintable() else "/"
        cookie = f"{COOKIE}={given[-1]}; Path=/; Max-Age={MONTH}; HttpOnly; SameSite=Lax"
        return {"location": where, "set-cookie": cookie}


def _is_page(path: str) -> bool:
    """Of the page's own files, which are everybody's: it asks for the token itself."""
    return path == "/" or path.startswith(("/static/", "/vendor/"))


def is_loopback(host: str) -> bool:
    """Is an address, or a name, this machine's own?"""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    """Of a Host header, with or without a port."""
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _is_upload(scope: Scope) -> bool:
    return scope["method"] == "PATCH" and str(scope["path"]).startswith("/api/uploads/")


def _has_body(headers: dict[str, str]) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _too_large(scope: Scope, headers: dict[str, str]) -> str | None:
    length = headers.get("content-length", "0")
    if _is_upload(scope) or not length.isdecimal() or int(length[:20]) <= MOST_BODY:
        return None
    return f"{length[:20]} bytes; expected at most {MOST_BODY}"


def _limited(receive: Receive) -> Receive:
    came = 0

    async def limited() -> Message:
        nonlocal came
        message = await receive()
        came += len(message.get("body", b""))
        if came > MOST_BODY:
            raise RequestTooLargeError
        return message

    return limited


def _with_headers(send: Send, path: str) -> Send:
    # What may be kept is asked for again with its ETag.
    others = {**HEADERS, "cache-control": "no-store" if path.startswith("/api/") else "no-cache"}

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message.get("headers", ())}
            added = [
                (name.encode(), value.encode())
                for name, value in others.items()
                if name.encode() not in there
            ]
            message["headers"] = [*message.get("headers", ()), *added]
        await send(message)

    return sending


async def _answer(
    send: Send,
    status: int,
    line: str,
    headers: dict[str, str] | None = None,
) -> None:
    content = json.dumps({"error": line}).encode()
    given = {"content-type": "application/json", **(headers or {})}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in given.items()]
    raw.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": content})

"""A server from its start to its end: the queue in this thread, the requests in another."""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from runtime import cli
from runtime.errors import ConfigError
from runtime.many.disks import Disks
from runtime.many.lasting import Reopened, Stop
from runtime.many.outbox import holding
from runtime.options import MapOptions
from runtime.serve.app import make_app
from runtime.serve.beat import Beat
from runtime.serve.guard import App, is_loopback
from runtime.serve.jobs import Jobs
from runtime.serve.pairs import Pairs
from runtime.serve.places import held
from runtime.serve.service import Service
from runtime.serve.uploads import Uploads
from runtime.serve.worker import Worker

SHORTEST_TOKEN = 16
MOST_CONNECTIONS = 512
GRACE = 5
"""Seconds that answers may take once the end is asked for."""


def serve(args: argparse.Namespace, options: MapOptions) -> int:
    """Until SIGTERM or Ctrl-C. Raises what ends a start: a ToolkitError or OSError."""
    token, is_new = _token(args.host, args.token_file)
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(Stop())
        places = stack.enter_context(held(args.data))
        stack.enter_context(holding(places.maps))
        disks = Disks((places.maps,))
        listening = stack.enter_context(_listening(args.host, args.port))
        engine = stack.enter_context(Reopened(args.engine, args.threads, args.device, args.mode))
        jobs, pairs = Jobs(places.jobs), Pairs(places)
        uploads = Uploads(places.uploads, options, int(args.max_upload * 1e9), args.max_uploads)
        worker = Worker(engine, places, jobs, uploads, pairs, options, stop, disks)
        worker.clean()
        service = Service(places, jobs, uploads, pairs, worker, token is not None)
        app = make_app(service, token, is_loopback(args.host))
        stack.enter_context(_answering(app, listening))
        _tell(listening, token if is_new else None)
        stack.enter_context(Beat(worker))
        worker.forever()
    return 0


def _token(host: str, path: Path | None) -> tuple[str | None, bool]:
    """None where none is needed; was it made just now?"""
    if path is None:
        return (None, False) if is_loopback(host) else (secrets.token_urlsafe(24), True)
    token = path.read_text(encoding="utf-8", errors="replace").strip()
    if (
        len(token) < SHORTEST_TOKEN
        or not (token.isascii() and token.isprintable())
        or (set(token) & set(' ",;\\'))
    ):
        raise ConfigError(
            f"--token-file {path}: expected a word of at least {SHORTEST_TOKEN} letters and "
            f"digits; make one: python -c 'import secrets; print(secrets.token_urlsafe(24))'"
        )
    return token, False


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Bound before the engine is loaded, so that what is wrong is told at once."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(
            f"--host {host}: {error.strerror or error}; expected an address"
        ) from error
    with found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind(address)
            found.listen(128)
        except OSError as error:
            raise ConfigError(
                f"--host {host} --port {port}: {os.strerror(error.errno or 0)}; expected an "
                "address of this machine and a free port"
            ) from error
        yield found


@contextlib.contextmanager
def _answering(app: App, listening: socket.socket) -> Iterator[None]:
    """In a thread of its own, which sets no signal handlers."""
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,  # addresses may hold the token
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=20,
        timeout_graceful_shutdown=GRACE,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(2 * GRACE)


def _tell(listening: socket.socket, new_token: str | None) -> None:
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    if host in ("0.0.0.0", "::"):
        shown = socket.gethostname()
    query = f"?token={new_token}" if new_token else ""
    print(f"serving at http://{shown}:{port}/{query}", flush=True)
    if new_token:
        print(f"token {new_token}, asked for once by each browser", flush=True)
    cli.note("Ctrl-C ends it; no job is lost")

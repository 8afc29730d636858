"""The signs of life of a server, for the service manager that started it."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from runtime.many.health import STALL
from runtime.many.systemd import Service
from runtime.serve.worker import Worker

BEAT = 20.0
"""Seconds, where the manager asks for none."""


class Beat:
    """While it is entered. A job without progress for `STALL` seconds leaves the watchdog without
    a sign, so that it starts the server again; no job is lost by that."""

    def __init__(self, worker: Worker, service: Service | None = None) -> None:
        self._worker, self._service = worker, service or Service()
        self._ended = threading.Event()
        self._last: tuple[object, ...] = ()
        self._since = time.monotonic()
        self._thread = threading.Thread(target=self._beating, daemon=True)

    def __enter__(self) -> Beat:
        self._service.ready()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        self._service.ending()
        self._ended.set()
        self._thread.join()

    def _beating(self) -> None:
        while True:
            worker, now = self._worker, time.monotonic()
            state = worker.running, worker.progress
            if worker.running is None or state != self._last:
                self._last, self._since = state, now
            done = f"{worker.mapped} mapped, {worker.failed} failed"
            if now - self._since > STALL:
                self._service.silent(f"stalled: {done}")
            else:
                self._service.alive(f"{worker.trouble or 'running'}: {done}")
            if self._ended.wait(self._service.beat or BEAT):
                return

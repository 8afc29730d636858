"""What TensorRT says. It takes one logger a process, the first that it is given, for good.

So there is one, which lives as long as the process: for what runs engines and what builds them.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@functools.cache
def process_logger(trt: Any) -> Any:
    """The one for this module: `tensorrt`, its lean or dispatch runtime, or `tensorrt_rtx`."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        """Keeps each thread's last error, and every message for who listens; prints nothing."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._own = threading.local()
            self._stray = ""
            self._listeners: list[list[str]] = []

        @property
        def error(self) -> str:
            """Since this thread's `forget`; the library's own threads count for everyone."""
            return getattr(self._own, "error", "") or self._stray

        def forget(self) -> None:
            self._own.error = self._stray = ""

        @contextmanager
        def heard(self) -> Iterator[list[str]]:
            """All messages from now on, of every thread and severity."""
            messages: list[str] = []
            self._listeners.append(messages)
            self.forget()
            try:
                yield messages
            finally:
                self._listeners = [each for each in self._listeners if each is not messages]

        def log(self, severity: Any, message: str) -> None:
            for each in self._listeners:
                each.append(message)
            if severity not in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                return
            if hasattr(self._own, "error"):
                self._own.error = " ".join(message.split())
            else:
                self._stray = " ".join(message.split())

    return Logger()

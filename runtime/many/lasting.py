"""What a watch needs to last: an engine that comes back, and a stop that interrupts nothing."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from pathlib import Path

from runtime import cli
from runtime.backends import Mode
from runtime.engine import Engine, load_engine
from runtime.errors import ToolkitError, reason
from runtime.manifest import Manifest
from runtime.many.renewal import Stamp, renewed, stamp


class Reopened:
    """An engine that is loaded again after it failed: a GPU that came back needs a new one.

    Where another engine lies in the folder it takes over, see `renewal`; one that is refused
    changes nothing, and is looked at again when its folder changes. warn: is told of both.
    """

    def __init__(
        self,
        folder: Path,
        threads: int | None,
        device: int | None = None,
        mode: Mode = "latency",
        warn: Callable[[str], None] = cli.note,
    ) -> None:
        self.folder, self._given, self._warn = folder, (threads, device, mode), warn
        self._engine: Engine | None = None
        self._manifest: Manifest | None = None
        self._seen: Stamp | None = None

    def __enter__(self) -> Reopened:
        self.get()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self) -> Engine:
        """For the next pair. Raises what `load_engine` does where there is none from before."""
        there = stamp(self.folder)
        if self._engine is None:
            self._engine = load_engine(self.folder, *self._given)
        elif there != self._seen:
            self._engine = self._renewed(self._engine)
        self._seen = there
        self._manifest = self._engine.manifest
        return self._engine

    @property
    def manifest(self) -> Manifest:
        """Of the engine that maps, or mapped last; before any did, of the one in the folder."""
        return self._manifest or Manifest.read(self.folder)

    def _renewed(self, before: Engine) -> Engine:
        try:
            taken = renewed(self.folder, before, self._given)
        except (ToolkitError, OSError, MemoryError) as error:
            self._warn(
                f"{self.folder}: another engine lies there and is refused ({reason(error)}); going "
                "on with the one before"
            )
            return before
        if taken.said:
            before.close()
            self._warn(f"{self.folder}: another engine from now on: {taken.said}")
        return taken.engine

    def close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()


class Stop:
    """SIGTERM and SIGINT interrupt nothing; they are asked for between two pairs.

    A pipe, because `threading.Event` may not be set in a signal handler.
    """

    def __init__(self) -> None:
        self.asked = False
        self._read, self._write = os.pipe()
        self._before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}

    def __enter__(self) -> Stop:
        for each in self._before:
            signal.signal(each, self.ask)
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
        os.close(self._read)
        os.close(self._write)

    def wait(self, seconds: float) -> None:
        """Until asked, or for so long."""
        select.select([self._read], [], [], seconds)

    def ask(self, *_: object) -> None:
        if not self.asked:
            self.asked = True
            os.write(self._write, b".")

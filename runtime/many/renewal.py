"""Another engine under the same name, taken over between two pairs without a stop.

The folder that `--engine` names is looked at before each pair. Where another engine lies there (a
link that was turned, a folder that was replaced) it is checked as any engine is, loaded, and asked
for its known answer, while the old one is still there. Only then the old one goes. A new one that
is refused changes nothing, and is tried again when its folder changes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.backends import Mode
from runtime.engine import Engine, load_engine
from runtime.errors import EngineError, ToolkitError, reason
from runtime.known_answer import KEY, UnknownAnswerError, compared
from runtime.manifest import FILE_NAME

Stamp = tuple[Any, ...]


class Renewed:
    """The engine in a folder: loaded again after it failed, and another one where one lies there.

    warn: is told of every change, and of what was refused.
    """

    def __init__(
        self,
        folder: Path,
        threads: int | None,
        device: int | None,
        mode: Mode,
        warn: Callable[[str], None],
    ) -> None:
        self._folder, self._given, self._warn = folder, (threads, device, mode), warn
        self._engine: Engine | None = None
        self._stamp: Stamp | None = None
        self._refused: Stamp | None = None

    def __enter__(self) -> Renewed:
        self.get()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self) -> Engine:
        """For the next pair. Raises what `load_engine` does where there is no earlier one."""
        there = stamp(self._folder)
        if self._engine is None:
            self._engine = load_engine(self._folder, *self._given)
            self._stamp = there
        elif there not in (self._stamp, self._refused):
            self._renew(self._engine, there)
        assert self._engine
        return self._engine

    def close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def _renew(self, before: Engine, there: Stamp) -> None:
        try:
            fresh = load_engine(self._folder, *self._given)
        except (ToolkitError, OSError, MemoryError) as error:
            self._refuse(there, error)
            return
        try:
            if payload_of(fresh) == payload_of(before):  # copied again, or its card was written
                fresh.close()
                self._stamp = there
                return
            said = self_test(fresh)
        except (ToolkitError, OSError, MemoryError) as error:
            fresh.close()
            self._refuse(there, error)
            return
        self._engine, self._stamp, self._refused = fresh, there, None
        before.close()
        self._warn(f"{self._folder}: another engine from now on, {named(fresh)}; {said}")

    def _refuse(self, there: Stamp, error: BaseException) -> None:
        self._refused = there
        self._warn(
            f"{self._folder}: another engine lies there and is refused ({reason(error)}); "
            "going on with the one before"
        )


def stamp(folder: Path) -> Stamp:
    """Of the engine folder as it is now; another one where anything was put in its place."""
    where = os.path.realpath(folder)
    try:
        status = (Path(where) / FILE_NAME).stat()
    except OSError as error:
        return where, error.errno
    return where, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def self_test(engine: Engine) -> str:
    """Ask the engine for its known answer; what came of it, in words.

    Raises EngineError where it answers something else than when it was built.
    """

    def run(pre: Any, post: Any) -> Any:
        maps = engine.predict(pre, post)
        return maps.damage, maps.building, maps.confidence

    record = engine.manifest.verification.get(KEY)
    try:
        found = compared(run, record, engine.height, engine.width)
    except UnknownAnswerError as error:
        return f"not self-tested: {error}"
    if not found.same:
        raise EngineError(
            f"{engine.folder}: its answer to a known pair is another one than when it was built "
            f"({found.agreement:.1%} of the pixels agree); build it again for this device"
        )
    return f"its answer to a known pair is as it was built ({found.agreement:.1%})"


def payload_of(engine: Engine) -> list[str]:
    return [entry.sha256 for _, entry in engine.manifest.files()]


def named(engine: Engine) -> str:
    manifest = engine.manifest
    return (
        f"{manifest.model.architecture} w{manifest.model.width} {manifest.precision}, "
        f"built {manifest.created}"
    )

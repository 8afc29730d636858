"""Another engine under the same name, taken over between two pairs without a stop.

The folder that `--engine` names is looked at before each pair. Where another engine lies there (a
link that was turned, a folder that was replaced) it is checked as any engine is, loaded, and asked
for its known answer, while the old one is still there. Only then the old one goes. A new one that
is refused changes nothing, and is tried again when its folder changes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.backends import Mode
from runtime.engine import Engine, load_engine
from runtime.errors import EngineError
from runtime.known_answer import KEY, UnknownAnswerError, compared
from runtime.manifest import FILE_NAME

Stamp = tuple[Any, ...]


def renewed(folder: Path, before: Engine, given: tuple[int | None, int | None, Mode]) -> Taken:
    """The engine that lies in the folder now, loaded and tested.

    Raises what speaks against it: ToolkitError, OSError or MemoryError; nothing of it is left then.
    """
    fresh = load_engine(folder, *given)
    try:
        if payload_of(fresh) == payload_of(before):  # copied again, or its card was written anew
            fresh.close()
            return Taken(before, None)
        return Taken(fresh, f"{named(fresh)}; {self_test(fresh)}")
    except BaseException:
        fresh.close()
        raise


@dataclass(frozen=True, eq=False)
class Taken:
    """engine: from now on. said: of another one than before, in words; None: it is the same."""

    engine: Engine
    said: str | None


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

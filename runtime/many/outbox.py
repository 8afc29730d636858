"""A folder that collects the maps of many pairs: each is made once and appears whole.

Everything unfinished lies in one hidden folder, so that nothing else has to be cleaned
after a killed run. A pair is done where its summary.json is, if its sources.json says that
it is this pair, mapped by this engine with these options.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import shutil
import tempfile
import traceback
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli, records
from runtime.corrections.aside import carry
from runtime.errors import (
    BackendError,
    ConfigError,
    EngineError,
    StoppedError,
    ToolkitError,
    reason,
)
from runtime.files import sync, write_json
from runtime.locks import LOCK, alone_in, locked
from runtime.many.exchange import replace_folder
from runtime.many.memory import out_of_memory
from runtime.many.pairs import Pair
from runtime.many.sources import (
    SOURCES,
    ChangedError,
    Sources,
    StaleError,
    of_engine,
    stale,
)
from runtime.mapping import map_pair
from runtime.options import SUMMARY, UNFINISHED, MapOptions
from runtime.output.vectors import GEOJSON, GEOPACKAGE
from runtime.scene.work import Told

if TYPE_CHECKING:
    from runtime.engine import Engine

WORKING = ".working"
MAPS = "maps"
LEADS_NOWHERE = "is a link that leads nowhere"
BEGUN_WITH = "sources.json"
"""Beside unfinished maps: the note of what they were begun with."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
_PROBE_BYTES = 1 << 20
_PATIENCE = 60.0  # seconds; Ray takes a few to end the workers of a killed command


@contextlib.contextmanager
def holding(outbox: Path) -> Iterator[None]:
    """Be the only one that adds maps to `outbox`, which is made if it is not there.

    Raises ConfigError while another process holds it, OSError if it cannot be written.
    """
    if outbox.is_symlink() and not outbox.exists():
        raise ConfigError(f"{outbox}: {LEADS_NOWHERE}; expected a folder, or a new name")
    if outbox.exists() and not outbox.is_dir():
        raise ConfigError(f"{outbox}: is a file; expected a folder, or a new name")
    outbox.mkdir(parents=True, exist_ok=True)
    working = outbox / WORKING
    with (outbox / LOCK).open("a") as lock:
        if not locked(lock):
            raise ConfigError(
                f"{outbox}: another batch or watch is writing there; "
                "let it finish, end it, or choose another folder"
            )
        working.mkdir(exist_ok=True)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                clear(outbox)
                working.rmdir()  # fails where something is in it that a later run goes on with


def clear(outbox: Path, names: Collection[str] | None = None) -> None:
    """Remove what a killed run left.

    Of pairs with these names, unfinished rasters are kept and how often they were begun;
    without names, every unfinished raster and nothing else.
    """
    counters = {_counter(outbox, name) for name in names or ()}
    for place in (outbox / WORKING).iterdir():
        if not place.is_dir():
            if place not in counters:
                place.unlink(missing_ok=True)
            continue
        if (names is None or place.name in names) and is_unfinished(outbox, place.name):
            continue
        # Not from under a worker that outlived its command for a moment.
        with alone_in(place, patience=0.0) as alone:
            if alone:
                shutil.rmtree(place, ignore_errors=True)


def is_done(outbox: Path, name: str) -> bool:
    return (outbox / name / SUMMARY).is_file()


def is_unfinished(outbox: Path, name: str) -> bool:
    """Is a part of this raster mapped?"""
    return (outbox / WORKING / name / MAPS / UNFINISHED).exists()


def windows_without_result(outbox: Path, name: str) -> int:
    """Parts of a raster that are nodata in its maps, because they could not be computed."""
    try:
        return len(records.load_json(outbox / name / SUMMARY).get("failed_tiles", ()))
    except (OSError, records.RecordError, AttributeError):  # maps of another toolkit
        return 0


@contextlib.contextmanager
def counted(outbox: Path, name: str) -> Iterator[int]:
    """How often this was begun and not ended, this time included: the process died."""
    counter = _counter(outbox, name)
    with counter.open("ab") as file:
        file.write(b".")
    try:
        yield counter.stat().st_size
    finally:
        counter.unlink(missing_ok=True)


def map_once(
    engine: Engine,
    pair: Pair,
    outbox: Path,
    options: MapOptions,
    *,
    redo: bool = False,
    told: Told | None = None,
) -> str | None:
    """Map a pair into `outbox`/name unless that is done; why not, if it is the pair's fault.

    redo: replace maps that are there and have holes, or are of something else.
    told: see `mapping.map_pair`; where it ends the work, StoppedError is raised here, too.
    Raises OSError when the outbox cannot take the maps, EngineError, BackendError or
    MemoryError when the engine or the machine fails: then the pair can be mapped later.
    Raises StaleError for maps of something else, ChangedError when the images changed.
    """
    target = outbox / pair.name
    if target.is_symlink() and not is_done(outbox, pair.name):
        what = "is a link to what has no" if target.exists() else f"{LEADS_NOWHERE}, with no"
        return f"{target}: {what} {SUMMARY}, not made by us; move it away"
    if not is_done(outbox, pair.name) and target.exists() and not _is_empty(target):
        return f"{target}: is there without {SUMMARY}, not made by us; move it away"
    place = outbox / WORKING / pair.name
    keep = False
    with alone_in(place, _PATIENCE) as alone:
        if not alone:
            return f"{pair.name}: another process is mapping it; run the command again later"
        try:
            _check_files(options)
            sources = Sources.of(pair, options)
            if sources.one_image:
                return (
                    f"{pair.name}: {pair.pre} and {pair.post} are the same image; "
                    "expected one before and one after the disaster"
                )
            if is_done(outbox, pair.name):
                other = stale(target, _whole_note(sources, engine))
                if other and not redo:
                    raise StaleError(pair.name, other)
                if not other and not (redo and windows_without_result(outbox, pair.name)):
                    return None
            try:
                _map(engine, pair, place, options, sources, told)
            except (ToolkitError, OSError) as error:
                if _is_of_this_pair(error):
                    sources.check()  # else it was not complete yet
                raise
            sources.check()
            _publish(place / MAPS, target, redo)
        except (EngineError, BackendError, StoppedError):
            keep = True
            raise
        except (ChangedError, StaleError):
            raise
        except ToolkitError as error:
            if out_of_memory(error):
                keep = True
                raise MemoryError(reason(error)) from error
            _check_files(options)
            return reason(error)
        except MemoryError:
            keep = True
            raise
        except OSError as error:
            if out_of_memory(error):
                keep = True
                raise MemoryError(reason(error)) from error
            _check_files(options)
            keep = error.errno in _FULL or not _writable(outbox)
            if keep:
                raise
            return os_reason(error, outbox)
        except Exception as error:  # a defect of ours; the other pairs need not wait for its cure
            if out_of_memory(error):
                keep = True
                raise MemoryError(reason(error)) from error
            return _unexpected(pair, error)
        finally:
            if not (keep and is_unfinished(outbox, pair.name)):
                shutil.rmtree(place, ignore_errors=True)
    return None


def os_reason(error: OSError, otherwise: Path) -> str:
    """As the commands print it; `otherwise` is named when the error names no file."""
    return f"{error.filename or otherwise}: {error.strerror or reason(error)}"


def _counter(outbox: Path, name: str) -> Path:
    return outbox / WORKING / f".{name}.begun"


def _map(
    engine: Engine,
    pair: Pair,
    place: Path,
    options: MapOptions,
    sources: Sources,
    told: Told | None,
) -> None:
    maps = place / MAPS
    if (maps / UNFINISHED).exists() and _note_in(place / BEGUN_WITH) == sources.note:
        try:
            going_on = dataclasses.replace(options, resume=True)
            map_pair(engine, pair.pre, pair.post, maps, going_on, told)
        except ConfigError:  # of another engine
            shutil.rmtree(maps)
    else:
        shutil.rmtree(maps, ignore_errors=True)
    if not (maps / SUMMARY).exists():
        write_json(place / BEGUN_WITH, sources.note)
        map_pair(engine, pair.pre, pair.post, maps, options, told)
    shutil.rmtree(maps / UNFINISHED, ignore_errors=True)  # killed before it could
    write_json(maps / SOURCES, _whole_note(sources, engine))


def _whole_note(sources: Sources, engine: Engine) -> dict[str, Any]:
    return {**sources.note, "engine": of_engine(engine.manifest)}


def _note_in(path: Path) -> Any:
    try:
        return records.load_json(path)
    except (OSError, records.RecordError):
        return None


def _check_files(options: MapOptions) -> None:
    """Raises OSError for a file of the options that is gone, which is no pair's fault."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if isinstance(value, Path):
            value.stat()


def _is_of_this_pair(error: Exception) -> bool:
    others = EngineError, BackendError, StoppedError
    return not isinstance(error, others) and not out_of_memory(error)


def _publish(maps: Path, target: Path, redo: bool) -> None:
    for path in (maps, *maps.rglob("*")):
        sync(path)
    if redo and target.exists() and not _is_empty(target):
        _carry(target, maps)
        replace_folder(maps, target)
    else:
        maps.rename(target)  # fails where a folder with files is: nothing is replaced
    sync(target.parent)


def _carry(old: Path, new: Path) -> None:
    """What people corrected in the maps that are replaced stays with the pair."""
    listed = records.load_json(new / SUMMARY)["files"]
    name = GEOPACKAGE if GEOPACKAGE in listed else GEOJSON
    for note in carry(old, new, listed[name]["sha256"]):
        cli.note(f"{old.name}: {note}")


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _unexpected(pair: Pair, error: Exception) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    line = f"{Path(where.filename).name}:{where.lineno}"
    return f"{pair.name}: unexpected {type(error).__name__} at {line}: {reason(error)}"


def _writable(outbox: Path) -> bool:
    """Whether a file can be written there now.

    Asked after an error, because an imaging library hides which file it could not use.
    """
    try:
        with tempfile.TemporaryFile(dir=outbox / WORKING) as file:
            file.write(b"\1" * _PROBE_BYTES)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        return False
    return True

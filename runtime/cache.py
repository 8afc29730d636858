"""Files that are kept for a faster next start, where nobody else can have put them.

What is read here is executed, so a folder that another user owns or may write to is not used:
neither read nor written, and a note says so. Each step to the file is taken from a folder that
is held open, so what was looked at is what is used. Where files have no such owners (Windows)
there is no cache.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from runtime import cli, files, host
from runtime.errors import reason

_OWNERS = hasattr(os, "geteuid")
_ROOT = 0  # may change anything anyway


class _UntrustedError(Exception):
    """Others could have written what lies here."""


def read(kind: str, name: str) -> bytes | None:
    """A file of the cache's folder `kind`; None where there is none, or none to be trusted."""
    try:
        with _opened(kind) as folder:
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            with os.fdopen(handle, "rb") as file:
                _check(os.fstat(handle), host.cache_folder() / kind / name)
                return file.read()
    except _UntrustedError as error:
        cli.note(f"{error}; it is not used. Remove it, or set XDG_CACHE_HOME to a folder of yours")
    except OSError:
        pass
    return None


def write(kind: str, name: str, content: bytes) -> None:
    """Keep a file; nothing is kept where that is not possible, or `read` would not trust it."""
    with contextlib.suppress(OSError, _UntrustedError):
        _make(host.cache_folder() / kind)
        with _opened(kind) as folder:
            temporary = f".{secrets.token_hex(8)}.partial"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            try:
                with os.fdopen(os.open(temporary, flags, 0o600, dir_fd=folder), "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                os.unlink(temporary, dir_fd=folder)
                raise


def why_unused() -> str | None:
    """Why nothing can be kept; None where it can. Nothing is left behind, also no folder."""
    base = host.cache_folder()
    try:
        if not _OWNERS:
            return f"{base}: this system's files have no owners"
        if base.is_dir():
            with _entered(base, base):
                pass
        files.check_writable(base / "file")
    except _UntrustedError as error:
        return str(error)
    except OSError as error:
        return f"{base}: cannot be written ({reason(error)})"
    return None


def _make(folder: Path) -> None:
    """Each folder that is missing, for this user alone; `mkdir` would leave parents open."""
    for each in (*reversed(folder.parents), folder):
        if not each.is_dir():
            with contextlib.suppress(FileExistsError):
                each.mkdir(mode=0o700)


@contextlib.contextmanager
def _opened(kind: str) -> Iterator[int]:
    """The cache's folder `kind`, open; it and the toolkit's own above it were looked at."""
    if not _OWNERS:
        raise FileNotFoundError(kind)
    base = host.cache_folder()
    with _entered(base, base) as above, _entered(kind, base / kind, above) as folder:
        yield folder


@contextlib.contextmanager
def _entered(name: Path | str, path: Path, above: int | None = None) -> Iterator[int]:
    if not stat.S_ISDIR(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
        raise _UntrustedError(f"{path}: is no folder, where the cache of compiled models lies")
    handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    try:
        _check(os.fstat(handle), path)
        yield handle
    finally:
        os.close(handle)


def _check(status: os.stat_result, path: Path) -> None:
    if status.st_uid not in (os.geteuid(), _ROOT):
        why = f"belongs to another user ({status.st_uid})"
    elif status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        why = "can be written by others"
    elif not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
        why = "is no file"
    else:
        return
    raise _UntrustedError(f"{path}: {why}, so what is cached there may not be this user's")

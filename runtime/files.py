"""Writing files so that a reader sees the old content or the new, never a part.

Every output goes to a temporary name beside its destination, is synced, and is
renamed. A failure (disk full, killed process) leaves the destination as it was.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_UMASK = threading.Lock()


def check_writable(path: Path) -> None:
    """OSError unless something can be made at `path`, before the work whose result it is to hold.

    Nothing is left behind, also no folder.
    """
    path = Path(path).absolute()
    folder = next(each for each in path.parents if each.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=".", suffix=".partial", dir=folder):
            pass
    except OSError as error:
        what = f"nothing can be written in {folder} ({error.strerror}); choose another place"
        raise OSError(error.errno, what, str(path)) from error


def check_file(path: Path) -> None:
    """`check_writable` of what is to be a file.

    Raises:
        OSError: nothing can be made there, or it is a folder.
    """
    _refuse_folder(Path(path))
    check_writable(path)


def check_space(path: Path, size: int) -> None:
    """OSError unless the disk of `path` has room for `size` bytes."""
    folder = next(each for each in Path(path).absolute().parents if each.exists())
    free = shutil.disk_usage(folder).free
    if free < size:
        what = (
            f"{folder} has {free / 1e6:.0f} MB free, at least {size / 1e6:.0f} MB are needed; make "
            "room, or choose another place"
        )
        raise OSError(errno.ENOSPC, what, str(path))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it becomes `path`, on error it goes.

    The temporary name keeps the suffix, since many writers choose a format by it.
    """
    with _renamed(path) as temporary:
        yield temporary
        sync(temporary)


@contextlib.contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    path = Path(path)
    _refuse_folder(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{path.stem}.", suffix=f".partial{path.suffix}", dir=path.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        with naming(path):
            yield temporary
        # mkstemp makes private files; outputs follow the umask like any other file.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Like `replacing`, for a folder: it appears whole, or not at all.

    An existing folder at `path` is removed only once the new one is complete.
    """
    path = Path(path).absolute()  # "." has no name to put a temporary one beside
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is a file, expected a folder", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    try:
        with naming(path):
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    sync(file)
        temporary.chmod(0o777 & ~_umask())
        if path.exists():
            retired = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
            path.replace(retired / path.name)
            try:
                temporary.replace(path)
            except BaseException:  # an interrupt, too
                (retired / path.name).replace(path)
                raise
            finally:
                shutil.rmtree(retired, ignore_errors=True)
        else:
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def adding_to_folder(path: Path) -> Iterator[Path]:
    """Give an empty temporary folder; on success its files are in `path`, on error none is.

    A new folder appears whole. In an existing one, files of the same name are replaced
    and others stay; the first is moved when all are complete.
    """
    path = Path(path).absolute()
    if not path.exists():
        with replacing_folder(path) as temporary:
            yield temporary
        return
    # Inside, not beside: `path` may be a mount point.
    temporary = Path(tempfile.mkdtemp(prefix=".", suffix=".partial", dir=path))
    try:
        with naming(path):
            yield temporary
        for file in sorted(temporary.iterdir()):
            file.replace(path / file.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """A system's error without a file's name, as a write gives on a full disk, gets `path`."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_unsynced(path: Path, *parts: bytes | memoryview) -> None:
    """For what can be made again and is checked when it is read: a power cut may leave a part.

    Thousands of such files take minutes where each waits for the disk.
    """
    with _renamed(path) as temporary, temporary.open("wb") as file:
        for part in parts:
            file.write(part)


def write_json(path: Path, content: Any) -> None:
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def sha256(path: Path) -> str:
    """Hex digest of a file's content, read in blocks."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, outlast a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder, expected a file's name", str(path))


def _umask() -> int:
    with _UMASK:  # it can only be read by setting it, for all threads
        mask = os.umask(0)
        os.umask(mask)
    return mask

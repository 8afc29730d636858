"""Images that come by HTTP: in parts, which go on where they ended, to a file under an id.

A name that was given is kept to be shown, and is never that of a file. Each upload has a folder
of its own, so that nothing can lie beside an image and be read with it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from runtime import cli, files, records
from runtime.options import MapOptions
from runtime.serve import content
from runtime.serve.errors import RefusedError, missing

RESERVE = 256 << 20
"""Bytes of the disk that no upload takes: the maps need some."""

SYNCED = 64 << 20
"""Bytes after which what came outlasts a power cut; it ends an upload no earlier than there."""

KEPT = 86_400.0
"""Seconds that an upload is kept which no job uses and to which nothing is added."""

LONGEST_NAME = 255
_ID = re.compile(r"[0-9a-f]{32}")
_NOTE, _PART = "upload.json", "part"


@dataclass(frozen=True)
class Upload:
    """offset: bytes that are there for certain. file: its name in the folder, when it is whole."""

    id: str
    name: str
    size: int
    offset: int = 0
    file: str | None = None


class Uploads:
    """Safe for several threads. most_bytes: of one. most: how many that no job uses."""

    def __init__(self, folder: Path, options: MapOptions, most_bytes: int, most: int) -> None:
        self._folder, self._options = folder, options
        self.most_bytes, self.most = most_bytes, most
        self._lock = threading.RLock()
        self._busy: dict[str, Part] = {}
        self._all: dict[str, Upload] = {}
        for path in folder.iterdir():
            self._read(path)

    def all(self) -> list[Upload]:
        with self._lock:
            return list(self._all.values())

    def get(self, id: str) -> Upload:
        """RefusedError where there is none."""
        with self._lock:
            upload = self._all.get(id)
        if upload is None:
            raise missing(f"upload {id}")
        return upload

    def path(self, upload: Upload) -> Path:
        """Of the whole image; RefusedError where it is not whole."""
        if upload.file is None:
            raise RefusedError(
                409, f"upload {upload.id}: {upload.offset} of {upload.size} bytes are there; "
                "send the rest first",
            )  # fmt: skip
        return self._folder / upload.id / upload.file

    def begin(self, name: str, size: int, in_use: set[str]) -> Upload:
        """in_use: ids of those that jobs use."""
        if not 0 < size <= self.most_bytes:
            raise RefusedError(
                413, f"{size} bytes; expected 1 to {self.most_bytes}; --max-upload sets the most"
            )
        with self._lock:
            self._forget_old(in_use)
            unused = [each for each in self._all.values() if each.id not in in_use]
            if len(unused) >= self.most:
                raise RefusedError(
                    429, f"{len(unused)} uploads wait for a job, at most {self.most} may; map them "
                    "or delete them first",
                )  # fmt: skip
            coming = sum(each.size - each.offset for each in unused)
            free = shutil.disk_usage(self._folder).free - coming - RESERVE
            if free < size:
                raise RefusedError(
                    507, f"{size} bytes, and the disk has room for {max(0, free)}; delete jobs"
                )
            upload = Upload(secrets.token_hex(16), name, size)
            folder = self._folder / upload.id
            folder.mkdir()
            (folder / _PART).touch()
            return self._keep(upload)

    @contextlib.contextmanager
    def adding(self, id: str, offset: int) -> Iterator[Part]:
        """Add to an upload from `offset` on, which is where it ended.

        A request that was at it has no more to say: of a connection that broke in the field the
        other end may never hear.
        """
        with self._lock:
            upload = self.get(id)
            if before := self._busy.pop(id, None):
                before.end_early()
                upload = self.get(id)
            if upload.file is not None or offset != self._there(upload):
                there = upload.size if upload.file else self._there(upload)
                raise RefusedError(
                    409, f"upload {id}: {there} bytes are there, not {offset}", offset=there
                )
            file = (self._folder / id / _PART).open("r+b")
            file.seek(offset)
            part = self._busy[id] = Part(self, upload, file, offset)
        try:
            try:
                yield part
            finally:
                part.close()
            part.end()
        finally:
            with self._lock:
                if self._busy.get(id) is part:
                    del self._busy[id]

    def offset(self, id: str) -> int:
        upload = self.get(id)
        return upload.size if upload.file else self._there(upload)

    def forget(self, id: str) -> None:
        with self._lock:
            self.get(id)
            if before := self._busy.pop(id, None):
                before.end_early()
            self._remove(id)

    def keep(self, upload: Upload) -> None:
        with self._lock:
            self._keep(upload)

    def check_begin(self, upload: Upload, begin: bytes) -> None:
        """What cannot become an image goes at once; RefusedError says why."""
        try:
            content.suffix_of(begin, upload.name)
        except RefusedError:
            with self._lock:
                self._remove(upload.id)
            raise

    def whole(self, upload: Upload) -> None:
        """All bytes are there: it becomes an image, or goes, and RefusedError says why."""
        folder = self._folder / upload.id
        try:
            with (folder / _PART).open("rb") as file:
                suffix = content.suffix_of(file.read(content.LONGEST), upload.name)
            path = folder / f"image{suffix}"
            (folder / _PART).replace(path)
            content.check(path, upload.name, self._options)
        except RefusedError:
            with self._lock:
                self._remove(upload.id)
            raise
        files.sync(folder)
        self.keep(dataclasses.replace(upload, offset=upload.size, file=path.name))

    def _there(self, upload: Upload) -> int:
        return (self._folder / upload.id / _PART).stat().st_size

    def _keep(self, upload: Upload) -> Upload:
        files.write_json(self._folder / upload.id / _NOTE, dataclasses.asdict(upload))
        self._all[upload.id] = upload
        return upload

    def _remove(self, id: str) -> None:
        self._all.pop(id, None)
        shutil.rmtree(self._folder / id, ignore_errors=True)

    def _forget_old(self, in_use: set[str]) -> None:
        for id in [id for id in self._all if id not in in_use and id not in self._busy]:
            with contextlib.suppress(OSError):
                last = max(each.stat().st_mtime for each in (self._folder / id).iterdir())
                if time.time() - last > KEPT:
                    self._remove(id)

    def _read(self, folder: Path) -> None:
        """What an earlier server left: as much of it as outlasts a power cut."""
        if not _ID.fullmatch(folder.name):
            return
        try:
            upload = records.parse(Upload, records.load_json(folder / _NOTE))
            if upload.file is None:
                for image in folder.glob("image.*"):  # killed before it was noted
                    image.replace(folder / _PART)
                if self._there(upload) > upload.offset:
                    os.truncate(folder / _PART, upload.offset)
                if self._there(upload) < upload.offset:
                    raise records.RecordError("bytes are missing")
        except (OSError, records.RecordError) as error:
            cli.note(f"{folder}: {error}; the upload is thrown away")
            shutil.rmtree(folder, ignore_errors=True)
            return
        self._all[upload.id] = upload
        if upload.file is None and upload.offset == upload.size:
            with contextlib.suppress(RefusedError):
                self.whole(upload)


class Part:
    """Bytes that are added to an upload; those that came stay, however it ends."""

    def __init__(self, uploads: Uploads, upload: Upload, file: IO[bytes], offset: int) -> None:
        self._uploads, self._upload, self._file = uploads, upload, file
        self.offset = offset
        self._synced = offset
        self._lock = threading.RLock()
        self._over = False

    def write(self, some: bytes | bytearray) -> None:
        """RefusedError for more than was announced, or for what is no image."""
        with self._lock:
            self._write(some)

    def _write(self, some: bytes | bytearray) -> None:
        if self._over:
            raise RefusedError(409, f"upload {self._upload.id}: another request adds to it now")
        if self.offset + len(some) > self._upload.size:
            raise RefusedError(
                413, f"upload {self._upload.id}: more than its {self._upload.size} bytes"
            )
        if self.offset == 0 and len(some) >= content.LONGEST:
            self._uploads.check_begin(self._upload, bytes(some[: content.LONGEST]))
        try:
            self._file.write(some)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise RefusedError(507, "the disk is full; delete jobs, and go on") from error
            raise
        self.offset += len(some)
        if self.offset - self._synced >= SYNCED:
            self.sync()

    def end_early(self) -> None:
        """Another one goes on from here."""
        with self._lock:
            self.close()
            self._over = True

    def close(self) -> None:
        with self._lock:
            if not self._over:
                self.sync()
            self._file.close()

    def sync(self) -> None:
        if self.offset == self._synced:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._synced = self.offset
        self._upload = dataclasses.replace(self._upload, offset=self.offset)
        self._uploads.keep(self._upload)

    def end(self) -> None:
        if self.offset == self._upload.size and not self._over:
            self._uploads.whole(self._upload)

"""The files of an engine that a library loads. What is hashed is what is loaded.

A file can be changed, or its folder exchanged, between two readings. So a payload is read
once, its bytes are compared with the manifest, and those bytes are what a library gets; no
library is given a payload's path.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from runtime import files
from runtime.errors import AlteredPayloadError


@dataclass(frozen=True)
class PayloadFile:
    """A file of the engine, and what proves that it is the same one."""

    name: str
    """A plain file name in the engine folder."""
    size: int
    """Bytes."""
    sha256: str
    """Of its content, 64 lower-case hexadecimal digits."""

    def check_size(self, folder: Path, advice: str) -> None:
        """AlteredPayloadError where the file is missing or has another size; nothing is read."""
        with self._opened(folder, advice):
            pass

    def check(self, folder: Path, advice: str) -> None:
        """AlteredPayloadError where the file is not the recorded one; it is read in blocks."""
        with self._opened(folder, advice) as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
        self._compare(digest, folder, advice)

    def read(self, folder: Path, advice: str) -> bytes:
        """The content. AlteredPayloadError where it is not the recorded one."""
        with self._opened(folder, advice) as file:
            content = file.read(self.size + 1)  # one more: a file that grows is not the same
        self._compare(hashlib.sha256(content), folder, advice)
        return content

    def read_into(self, buffer: Any, folder: Path, advice: str) -> None:
        """Like `read`, into memory that a library owns: writable, of `size` bytes."""
        with self._opened(folder, advice) as file:
            file.readinto(buffer)  # type: ignore[attr-defined]
        self._compare(hashlib.sha256(buffer), folder, advice)

    @contextmanager
    def _opened(self, folder: Path, advice: str) -> Iterator[BinaryIO]:
        path = folder / self.name
        try:
            file = path.open("rb") if path.is_file() else None  # a pipe would be waited for
        except FileNotFoundError:
            file = None
        if file is None:
            raise AlteredPayloadError(f"{path}: payload file is missing; {advice}")
        with file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size != self.size:
                raise AlteredPayloadError(
                    f"{path}: holds {status.st_size} bytes, the manifest recorded {self.size}; "
                    f"{advice}"
                )
            yield file

    def _compare(self, digest: Any, folder: Path, advice: str) -> None:
        if digest.hexdigest() != self.sha256:
            raise AlteredPayloadError(
                f"{folder / self.name}: its sha256 is not the one the manifest recorded; {advice}"
            )


def payload_of(folder: Path | str, names: Iterable[str]) -> tuple[PayloadFile, ...]:
    """The payload entries of files that lie in `folder`."""
    folder = Path(folder)
    return tuple(
        PayloadFile(name, (folder / name).stat().st_size, files.sha256(folder / name))
        for name in names
    )

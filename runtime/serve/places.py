"""The folders of a server's data, and the one server that may work in them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import ConfigError
from runtime.locks import LOCK, locked


@dataclass(frozen=True)
class Places:
    """inbox: pairs that a person put there. uploads: images that came by HTTP, a folder each.
    jobs: a file for each. maps: finished ones. views: what the page shows of them, which can be
    made again.
    """

    data: Path

    @property
    def inbox(self) -> Path:
        return self.data / "inbox"

    @property
    def uploads(self) -> Path:
        return self.data / "uploads"

    @property
    def jobs(self) -> Path:
        return self.data / "jobs"

    @property
    def maps(self) -> Path:
        return self.data / "maps"

    @property
    def views(self) -> Path:
        return self.data / "views"


@contextlib.contextmanager
def held(data: Path) -> Iterator[Places]:
    """The folders, made where they are not there, for this process alone.

    Raises ConfigError while another one has them, OSError where they cannot be made.
    """
    if data.exists() and not data.is_dir():
        raise ConfigError(f"--data {data}: is a file; expected a folder, or a new name")
    places = Places(data.absolute())
    for folder in (places.inbox, places.uploads, places.jobs, places.views, places.maps):
        folder.mkdir(parents=True, exist_ok=True)
    with (data / LOCK).open("a") as lock:
        if not locked(lock):
            raise ConfigError(
                f"--data {data}: another server works there; end it, or choose another folder"
            )
        yield places

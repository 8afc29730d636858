"""The pairs that a person put into the inbox of a server."""

from __future__ import annotations

import threading

from runtime.many.inbox import Inbox
from runtime.many.pairs import Pair
from runtime.many.writers import is_being_written
from runtime.serve.places import Places

SETTLE = 2.0
"""Seconds without a change after which a file is complete."""


class Pairs:
    """Safe for several threads. They stay where they are; a job reads them there."""

    def __init__(self, places: Places, settle: float = SETTLE) -> None:
        self._inbox = Inbox(places.inbox, settle)
        self._lock = threading.Lock()

    def all(self) -> list[Pair]:
        with self._lock:
            ready = self._inbox.ready(self._inbox.look())
        return [
            each.pair
            for each in ready
            if each.pair and each.name.isprintable() and not any(map(is_being_written, each.files))
        ]

    def get(self, name: str) -> Pair | None:
        return next((pair for pair in self.all() if pair.name == name), None)

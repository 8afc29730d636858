"""What a watch does: pair after pair from the inbox to the outbox, whatever happens.

What is the pair's fault sends the pair away; what is not (a full disk, an engine that
fails) leaves it where it is, to be tried again.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

from runtime import records
from runtime.engine import Engine, load_engine
from runtime.errors import BackendError, EngineError, reason
from runtime.many.health import Health
from runtime.many.inbox import Arrival, Inbox
from runtime.many.outbox import (
    SOURCES,
    clear,
    counted,
    is_done,
    is_unfinished,
    map_once,
    os_reason,
    source,
    windows_without_result,
)
from runtime.many.pairs import NAMES, Pair, can_name_a_folder
from runtime.options import SUMMARY, MapOptions

PATIENCE = (1.0, 60.0)
"""Seconds until the first next try, doubled each time, and the most."""
DEATHS = 10
"""How often a pair is begun that ends the process each time: more often than power fails."""


class Reopened:
    """An engine that is loaded again after it failed: a GPU that came back needs a new one."""

    def __init__(self, folder: Path, threads: int | None, device: int | None = None) -> None:
        self._folder, self._threads, self._device = folder, threads, device
        self._engine: Engine | None = None

    def __enter__(self) -> Reopened:
        self.get()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self) -> Engine:
        if self._engine is None:
            self._engine = load_engine(self._folder, self._threads, self._device)
        return self._engine

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


class Watch:
    """`stop` is looked at between pairs; `warn` is told what a person should know."""

    def __init__(
        self,
        engine: Reopened,
        inbox: Inbox,
        outbox: Path,
        options: MapOptions,
        health: Health,
        stop: Stop,
        warn: Callable[[str], None],
    ) -> None:
        self._engine, self._inbox, self._outbox, self._options = engine, inbox, outbox, options
        self._health, self._stop, self._warn = health, stop, warn
        self._rejected = 0

    def forever(self, poll: float) -> int:
        """Until `stop`."""
        delay = PATIENCE[0]
        untidy = True
        while not self._stop.asked:
            try:
                if untidy:
                    self._tidy()
                    untidy = False
                for arrival in self._inbox.ready(self._look()):
                    if self._stop.asked:
                        break
                    self._deal_with(arrival)
                    delay = PATIENCE[0]
                self._stop.wait(poll)
            except (OSError, EngineError, BackendError) as error:
                if not isinstance(error, OSError):
                    self._engine.close()
                untidy = True
                self._trouble(error)
                self._stop.wait(delay)
                delay = min(2 * delay, PATIENCE[1])
        return 0

    def once(self, poll: float) -> int:
        """The pairs that are there now and do not change; 1 if some could not be mapped.

        Raises what would be waited for otherwise: OSError, EngineError, BackendError.
        """
        self._tidy()
        names = {each.name for each in self._look() if each.has_both}
        end = time.monotonic() + self._inbox.settle
        while not self._stop.asked:
            last = time.monotonic() >= end
            for arrival in self._inbox.ready(self._look()):
                if arrival.name in names and not self._stop.asked:
                    names.remove(arrival.name)
                    self._deal_with(arrival)
            if last or not names:
                break
            self._stop.wait(min(poll, max(0.0, end - time.monotonic())))
        for name in sorted(names) if not self._stop.asked else ():
            self._warn(f"{name}: still changes, left in the inbox")
        return 1 if self._rejected else 0

    def _tidy(self) -> None:
        self._inbox.recover(self._is_of)
        clear(self._outbox, {each.name for each in self._look()})

    def _look(self) -> list[Arrival]:
        arrivals = self._inbox.look()
        self._health.waiting = len(arrivals)
        return arrivals

    def _deal_with(self, arrival: Arrival) -> None:
        start = time.perf_counter()
        pair, why = arrival.pair, None
        was_done = is_done(self._outbox, arrival.name)
        if pair is None:
            names = ", ".join(path.name for path in arrival.files)
            why = f"{arrival.name}: expected one image before and one after, found {names}"
        elif not can_name_a_folder(arrival.name):
            why = f"{arrival.name!r} cannot name a folder of maps; expected {NAMES}"
        elif not was_done:
            why = self._map(pair)
            if why and not arrival.unchanged():
                return  # it was not complete after all
        elif not all(self._is_of(pair.name, *each) for each in self._images(arrival)):
            why = (
                f"{arrival.name}: another pair of this name was mapped before, its maps are in "
                f"{self._outbox / arrival.name}; give this one another name"
            )
        if why is None:
            self._inbox.accept(arrival.files)
            if not was_done:
                self._health.done(1000 * (time.perf_counter() - start))
            if holes := windows_without_result(self._outbox, arrival.name):
                self._warn(f"{arrival.name}: {holes} windows could not be computed, see {SUMMARY}")
        else:
            self._inbox.reject(arrival, why)
            self._rejected += 1
            self._health.failed(why)
            self._warn(f"failed: {why}")
        self._health.waiting -= 1
        self._health.trouble = None
        self._health.write()

    def _map(self, pair: Pair) -> str | None:
        engine = self._engine.get()
        with counted(self._outbox, pair.name) as times:
            # A raster that gets further each time may be cut off by the night as often as it will.
            if times > DEATHS and not is_unfinished(self._outbox, pair.name):
                return f"{pair.name}: the watch died {DEATHS} times in a row while it mapped it"
            return map_once(engine, pair, self._outbox, self._options)

    def _trouble(self, error: Exception) -> None:
        message = os_reason(error, self._outbox) if isinstance(error, OSError) else reason(error)
        self._warn(f"error: {message}; no pair is lost, trying again")
        self._health.in_trouble(message)
        self._health.write()

    @staticmethod
    def _images(arrival: Arrival) -> list[tuple[str, Path]]:
        return [(role, path) for role, paths in arrival.images.items() for path in paths]

    def _is_of(self, name: str, role: str, image: Path) -> bool:
        """Are there maps of this name, made from this image?

        Maps without a note of their images were not made by a watch or a batch; they
        count as those of any pair of their name.
        """
        if not is_done(self._outbox, name):
            return False
        path = self._outbox / name / SOURCES
        if not path.exists():
            return True
        try:
            return bool(records.load_json(path)[role]["sha256"] == source(image)["sha256"])
        except (OSError, records.RecordError, KeyError, TypeError):
            return False

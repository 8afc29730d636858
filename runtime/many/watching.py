"""What a watch does: pair after pair from the inbox to the outbox, whatever happens.

What is the pair's fault sends the pair away; what is not (a full or read-only disk, an
engine that fails, no memory) leaves it where it is, to be tried again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from runtime.errors import BackendError, EngineError, reason
from runtime.many.disks import Disks
from runtime.many.health import Health
from runtime.many.inbox import Arrival, Inbox, NotMovedError
from runtime.many.lasting import Reopened, Stop
from runtime.many.listing import name_some, shown
from runtime.many.outbox import (
    WORKING,
    clear,
    is_done,
    os_reason,
    windows_without_result,
)
from runtime.many.pairs import NAMES, Pair, can_name_a_folder, name_and_role
from runtime.many.priority import has_priorities, ranks
from runtime.many.retention import Retention
from runtime.many.sources import ChangedError, StaleError, damaged, made_from
from runtime.many.trying import PATIENCE, Troubles, map_counted
from runtime.many.writers import is_being_written
from runtime.options import SUMMARY, MapOptions

CHANGES = 3
"""How often a single round begins with a pair that changes meanwhile."""


class Watch:
    """`stop` is looked at between pairs; `warn` is told what a person should know.

    redo: see `outbox.map_once`. retention: of the maps; None: all are kept.
    disks: as they were when the process began; None: as they are now.
    """

    def __init__(
        self,
        engine: Reopened,
        inbox: Inbox,
        outbox: Path,
        options: MapOptions,
        health: Health,
        stop: Stop,
        warn: Callable[[str], None],
        *,
        redo: bool = False,
        retention: Retention | None = None,
        disks: Disks | None = None,
    ) -> None:
        self._retention = retention
        self._disks = disks or Disks((inbox.folder, outbox))
        self._engine, self._inbox, self._outbox, self._options = engine, inbox, outbox, options
        self._health, self._stop, self._warn, self._redo = health, stop, warn, redo
        self._not_well = 0
        self._troubles = Troubles()
        self._told_of: set[Path] = set()
        self._told_unreadable: set[Path] = set()
        self._written: set[Path] = set()

    def forever(self, poll: float) -> int:
        """Until `stop`."""
        delay = PATIENCE[0]
        untidy = True
        while not self._stop.asked:
            try:
                if untidy:
                    self._tidy()
                    untidy = False
                if self._retention:
                    self._retention.keep_within()
                waiting = self._next(self._look())
                while waiting and not self._stop.asked:
                    self._deal_with(waiting.pop(0))
                    delay = PATIENCE[0]
                    if self._retention:
                        self._retention.keep_within()
                    if waiting and has_priorities(self._inbox.folder):
                        waiting = self._next(self._look())  # one that has come may go before
                self._tell_unreadable(self._inbox.stuck())
                self._tell_ignored(self._inbox.ignored())
                self._stop.wait(poll)
            except (OSError, EngineError, BackendError, MemoryError) as error:
                if isinstance(error, (EngineError, BackendError)):
                    self._engine.close()
                untidy = True
                self._trouble(error)
                self._stop.wait(delay)
                delay = min(2 * delay, PATIENCE[1])
        return 0

    def once(self, poll: float) -> int:
        """The pairs that are there now; 1 if one of them is not mapped, or not all of it.

        Raises what would be waited for otherwise: OSError, EngineError, BackendError.
        """
        self._tidy()
        names = {each.name: CHANGES for each in self._look() if each.has_both}
        end = time.monotonic() + self._inbox.settle
        while not self._stop.asked:
            last = time.monotonic() >= end
            for arrival in self._by_rank(self._inbox.ready(self._look())):
                if not names.get(arrival.name) or self._stop.asked:
                    continue
                names[arrival.name] -= 1
                if self._dealt_with_once(arrival):
                    del names[arrival.name]
                else:
                    self._look()  # from now on it has to rest
                    end, last = time.monotonic() + self._inbox.settle, False
            if last or not any(names.values()):
                break
            self._stop.wait(min(poll, max(0.0, end - time.monotonic())))
        if not self._stop.asked:
            self._tell_left(names)
        return 1 if self._not_well else 0

    def _dealt_with_once(self, arrival: Arrival) -> bool:
        try:
            return self._deal_with(arrival)
        except MemoryError as error:
            self._warn(f"error: {reason(error)}; left in the inbox")
            self._not_well += 1
            return True

    def _tell_left(self, names: Iterable[str]) -> None:
        for name in sorted(names):
            self._warn(f"{shown(name)}: still changes, left in the inbox")
            self._not_well += 1
        arrivals = self._look()
        stuck = self._tell_unreadable(list(self._inbox.unreadable))
        self._not_well += len(stuck - set(names))
        for arrival in arrivals:
            if not arrival.has_both and arrival.name not in stuck:
                there = ", ".join(shown(path.name) for path in arrival.files)
                self._warn(
                    f"{shown(arrival.name)}: an image is missing, left in the inbox: {there}"
                )
        self._tell_ignored(list(self._inbox.unmatched))

    def _tell_unreadable(self, paths: Iterable[Path]) -> set[str]:
        """The names of the pairs; each file is told of once, while it is there."""
        stuck = {path: found[0] for path in paths if (found := name_and_role(path.name))}
        self._told_unreadable &= set(stuck)
        for path in sorted(stuck.keys() - self._told_unreadable):
            self._told_unreadable.add(path)
            self._warn(
                f"{shown(stuck[path])}: {shown(path.name)} is a link that leads nowhere, a pipe or "
                "a folder, left in the inbox; expected an image"
            )
        return set(stuck.values())

    def _tidy(self) -> None:
        self._disks.check()
        (self._outbox / WORKING).mkdir(exist_ok=True)  # the disk may have been changed
        for error in self._inbox.recover(self._is_of):
            self._warn(f"{os_reason(error, self._inbox.folder)}; left as it is")
        clear(self._outbox, {each.name for each in self._look()})

    def _look(self) -> list[Arrival]:
        self._disks.check()
        arrivals = self._inbox.look()
        self._health.waiting = len(arrivals)
        self._health.ignored = list(self._inbox.unmatched)
        return arrivals

    def _tell_ignored(self, paths: list[Path]) -> None:
        self._told_of &= set(paths)
        fresh = [path for path in paths if path not in self._told_of]
        if fresh:
            self._told_of.update(fresh)
            self._warn(
                f"{name_some(fresh, 'file')} in {self._inbox.folder} belong to no pair, ignored; "
                "expected NAME_pre.EXT and NAME_post.EXT (png, jpg, jpeg, tif, tiff), both files"
            )

    def _next(self, arrivals: list[Arrival]) -> list[Arrival]:
        """Those that are complete, by their priority; one that was in trouble last, and not too
        soon."""
        self._troubles.keep({each.name for each in arrivals})
        ready = [(self._troubles.tries(each.name), each) for each in self._inbox.ready(arrivals)]
        due = [(tries, each) for tries, each in ready if tries is not None]
        return self._by_rank([each for _, each in sorted(due, key=lambda one: one[0])])

    def _by_rank(self, arrivals: list[Arrival]) -> list[Arrival]:
        rank = ranks(self._inbox.folder, self._warn)
        return sorted(arrivals, key=lambda each: rank(each.name))

    def _deal_with(self, arrival: Arrival) -> bool:
        """False if it changed meanwhile: it was not complete after all."""
        start = time.perf_counter()
        was_done = is_done(self._outbox, arrival.name)
        try:
            if not arrival.unchanged() or self._is_being_written(arrival):
                return False
            with self._disks.steady():
                why = self._refused(arrival) or self._map(arrival)
            if not arrival.unchanged():
                return False
            if why is None:
                self._inbox.accept(arrival)
            else:
                self._inbox.reject(arrival, why)
        except ChangedError as error:
            self._warn(f"{reason(error)}; mapping it again")
            return False
        except (MemoryError, EngineError, BackendError, NotMovedError) as error:
            self._troubles.postpone(arrival.name, error)
            raise
        self._troubles.over(arrival.name)
        self._tell(arrival.name, why, None if was_done else 1000 * (time.perf_counter() - start))
        return True

    def _is_being_written(self, arrival: Arrival) -> bool:
        for path in filter(is_being_written, arrival.files):
            if path not in self._written:
                self._written.add(path)
                self._warn(f"{shown(path.name)}: another process is still writing it, waiting")
            return True
        self._written -= set(arrival.files)
        return False

    def _tell(self, name: str, why: str | None, milliseconds: float | None) -> None:
        """What became of a pair. `milliseconds`: None where its maps were there before."""
        if why is not None:
            self._not_well += 1
            self._health.failed(why)
            self._warn(f"failed: {why}")
        elif milliseconds is not None:
            self._troubles.mapped += 1
            self._health.done(milliseconds)
        if why is None and (holes := windows_without_result(self._outbox, name)):
            self._not_well += 1
            self._health.with_holes()
            self._warn(f"{name}: {holes} windows could not be computed, see {SUMMARY}")
        self._health.waiting -= 1
        self._health.trouble = None
        self._health.write()

    def _refused(self, arrival: Arrival) -> str | None:
        """Why it cannot be a pair."""
        if not can_name_a_folder(arrival.name):
            return f"{arrival.name!r} cannot name a folder of maps; expected {NAMES}"
        if arrival.pair is None:
            names = ", ".join(path.name for paths in arrival.images.values() for path in paths)
            return f"{arrival.name}: expected one image before and one after, found {names}"
        if why := self._troubles.given_up(arrival.name):
            return f"{why}; put it into the inbox again to try it again"
        return None

    def _map(self, arrival: Arrival) -> str | None:
        pair = arrival.pair
        assert pair
        engine = self._engine.get()
        self._health.begun(pair.name, self._outbox / WORKING / pair.name)
        try:
            return map_counted(engine, pair, self._outbox, self._options, redo=self._redo)
        except StaleError as error:
            return self._stale(pair, error)
        finally:
            self._health.ended()

    def _stale(self, pair: Pair, error: StaleError) -> str:
        what = "another pair of this name" if error.of_other_images else "this pair"
        return (
            f"{pair.name}: {what} was mapped before: {reason(error)}; give this one another name, "
            "move those maps away, or let them be replaced with --redo"
        )

    def _trouble(self, error: Exception) -> None:
        message = os_reason(error, self._outbox) if isinstance(error, OSError) else reason(error)
        self._warn(f"error: {message}; no pair is lost, trying again")
        self._health.in_trouble(message)
        self._health.write()

    def _is_of(self, name: str, role: str, file: Path, image: str | None) -> bool:
        """Are there maps of this name, made from this image, or from this beside it?"""
        folder = self._outbox / name
        return (
            is_done(self._outbox, name)
            and made_from(folder, role, file, image)
            and damaged(folder) is None
        )

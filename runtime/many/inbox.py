"""The folder where pairs arrive: which are complete, and where they go when they are dealt with.

A pair lies in INBOX until its maps are in the outbox, then in INBOX/done/; one that cannot
be mapped goes to INBOX/failed/NAME/ with its reason. What lies beside an image and says
something of it goes where the image goes. Nothing is deleted or replaced.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from runtime.errors import ConfigError
from runtime.files import sync, write_bytes
from runtime.many.pairs import Pair, name_and_role
from runtime.many.priority import PRIORITY
from runtime.many.sources import Stamp, stamp
from runtime.source.sidecars import beside, by_image, renamed, sidecars

DONE = "done"
FAILED = "failed"
REASON = "reason.txt"
_MOVING = ".moving"  # a folder of INBOX/failed that is not complete
_NO_STAMP = (0, 0, 0, 0)  # of a folder: only that it is there counts


class NotMovedError(OSError):
    """A file of a pair could not be put away: this pair waits, others need not."""


@dataclass
class Arrival:
    """The files of one name that lie in the inbox. `since`: when the last of them changed.

    `beside`: the sidecars of each image.
    """

    name: str
    images: dict[str, list[Path]] = field(default_factory=lambda: {"pre": [], "post": []})
    beside: dict[Path, list[Path]] = field(default_factory=dict)
    stamps: dict[Path, Stamp] = field(default_factory=dict)
    since: float = 0.0

    @property
    def files(self) -> list[Path]:
        images = [*self.images["pre"], *self.images["post"]]
        return list(
            dict.fromkeys(each for image in images for each in (image, *self.beside[image]))
        )

    @property
    def has_both(self) -> bool:
        return all(self.images.values())

    @property
    def pair(self) -> Pair | None:
        """None while an image is missing, or when one is there twice."""
        if any(len(each) != 1 for each in self.images.values()):
            return None
        return Pair(self.name, self.images["pre"][0], self.images["post"][0])

    def unchanged(self) -> bool:
        """Are the files still those that were looked at, and no others beside them?"""
        try:
            same = all(stamp(path.stat()) == then for path, then in self.stamps.items())
        except OSError:
            return False
        return same and all(beside(image) == there for image, there in self.beside.items())


class Inbox:
    """`settle`: seconds without a change after which a file counts as complete.

    `besides`: a folder in the inbox that has a right to be there.
    """

    def __init__(self, folder: Path, settle: float, besides: Path | None = None) -> None:
        if not folder.is_dir():
            raise ConfigError(f"{folder}: not a folder; expected the folder where pairs arrive")
        self.folder = folder
        self.settle = settle
        self.unmatched: dict[Path, float] = {}
        """What belongs to no image that a rule knows, and since when it is so."""
        self.unreadable: dict[Path, float] = {}
        """What has the name of an image whose partner is there, and is no file; since when."""
        self._seen: dict[Path, tuple[Stamp, float]] = {}
        self._ours = {DONE, FAILED, PRIORITY}
        # Not Path.resolve, which raises for links in a circle.
        if besides and Path(os.path.realpath(besides)).parent == Path(os.path.realpath(folder)):
            self._ours.add(besides.name)

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Be the only watch on it. Raises ConfigError while another is.

        The folder itself is locked: nothing is written. Where that cannot be, it is not.
        """
        with contextlib.suppress(OSError):  # a disk that is read-only today; they are made later
            self._make_folders()
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(
                    f"{self.folder}: another watch takes its pairs; end it, or choose another inbox"
                ) from None
            except OSError:  # some network disks lock no folder
                pass
            yield
        finally:
            os.close(handle)

    def look(self) -> list[Arrival]:
        """What lies there now, the longest unchanged first."""
        now = time.monotonic()
        there = self._stamps()
        known = {path: before for path, before in self._seen.items() if path in there}
        for path, then in there.items():
            if path not in known or known[path][0] != then:
                known[path] = (then, now)
        self._seen = known
        files = [path for path, then in there.items() if then != _NO_STAMP]
        roles = {path.name: found for path in files if (found := name_and_role(path.name))}
        others = by_image(roles, [path.name for path in files])
        arrivals: dict[str, Arrival] = {}
        for file, (name, role) in sorted(roles.items()):
            arrival = arrivals.setdefault(name, Arrival(name))
            image = self.folder / file
            arrival.images[role].append(image)
            arrival.beside[image] = [self.folder / each for each in others[file]]
            for path in (image, *arrival.beside[image]):
                arrival.stamps[path] = there[path]
                arrival.since = max(arrival.since, known[path][1])
        taken = {path for each in arrivals.values() for path in each.stamps}
        self.unreadable = {path: known[path][1] for path in _no_files_of_pairs(there)}
        taken.update(self.unreadable)
        self.unmatched = {path: known[path][1] for path in sorted(there) if path not in taken}
        return sorted(arrivals.values(), key=lambda each: (each.since, each.name))

    def ready(self, arrivals: Iterable[Arrival]) -> list[Arrival]:
        """Those with both images, all complete."""
        latest = time.monotonic() - self.settle
        return [each for each in arrivals if each.has_both and each.since <= latest]

    def ignored(self) -> list[Path]:
        """What is complete and no pair's; hidden files are none of ours."""
        latest = time.monotonic() - self.settle
        return [path for path, since in self.unmatched.items() if since <= latest]

    def stuck(self) -> list[Path]:
        """What has been `unreadable` for as long as a file takes to be complete."""
        latest = time.monotonic() - self.settle
        return [path for path, since in self.unreadable.items() if since <= latest]

    def accept(self, arrival: Arrival) -> None:
        """To INBOX/done/."""
        with _naming_the_pair():
            for image, others in arrival.beside.items():
                self._put_away(image, others, arrival.stamps.get(image))
            sync(self.folder / DONE)

    def reject(self, arrival: Arrival, reason: str) -> None:
        """To INBOX/failed/NAME/, which appears whole: the files and reason.txt."""
        with _naming_the_pair():
            self._make_folders()
            moving = self.folder / FAILED / f"{_MOVING}.{arrival.name}"
            moving.mkdir(exist_ok=True)
            write_bytes(moving / REASON, f"{reason}\n".encode(errors="replace"))
            for path in arrival.files:
                if os.path.lexists(path):  # else it is what is wrong
                    path.rename(moving / path.name)
            moving.rename(_free(self.folder / FAILED / arrival.name))
            sync(self.folder / FAILED)

    def recover(self, belongs: Callable[[str, str, Path, str | None], bool]) -> list[OSError]:
        """Put right what an earlier run was about to move when it was killed.

        `belongs(name, role, file, image)`: are the maps of this name in the outbox, made from
        it? `image`: the name of the image that the file lies beside; None for an image.
        Gives the errors of what cannot be moved, which keeps no other pair from its work.
        """
        errors: list[OSError] = []
        for moving in sorted((self.folder / FAILED).glob(f"{_MOVING}.*")):
            with _collected(errors):
                self._put_back(moving)
        for arrival in self.look():
            if not arrival.has_both:
                for role, paths in arrival.images.items():
                    for path in paths:
                        with _collected(errors):
                            if belongs(arrival.name, role, path, None):
                                self._put_away(path, arrival.beside[path], None)
        if self.unmatched:
            with _collected(errors):
                self._recover_sidecars(belongs)
        return errors

    def _put_back(self, moving: Path) -> None:
        (moving / REASON).unlink(missing_ok=True)
        for path in moving.iterdir():
            path.rename(_free(self.folder / path.name))
        moving.rmdir()

    def _recover_sidecars(self, belongs: Callable[[str, str, Path, str | None], bool]) -> None:
        """To the image that they lay beside, which may have got another name in INBOX/done/."""
        names = [path.name for path in self.unmatched]
        for image in sorted(path for path in (self.folder / DONE).glob("*") if path.is_file()):
            file = re.sub(r"-\d+$", "", image.stem) + image.suffix
            for original in dict.fromkeys((image.name, file)):
                found = name_and_role(original)
                for name in sidecars(original, names) if found else ():
                    path = self.folder / name
                    target = image.with_name(renamed(name, original, image.name))
                    if found and not target.exists() and belongs(*found, path, original):
                        path.rename(target)
                        self.unmatched.pop(path, None)

    def _put_away(self, image: Path, others: list[Path], looked_at: Stamp | None) -> None:
        """The image first: while it is here, its sidecars are."""
        self._make_folders()
        targets = _free_together(self.folder / DONE, image, others)
        for path, target in targets.items():
            path.rename(target)
            if path == image and looked_at and _is_another(target, looked_at):
                if not path.exists():  # it came in this very moment
                    target.rename(path)
                return

    def _make_folders(self) -> None:
        """Again and again: a disk may be taken out, and another put in."""
        for name in (DONE, FAILED):
            (self.folder / name).mkdir(exist_ok=True)

    def _stamps(self) -> dict[Path, Stamp]:
        """Of all that lies there and is not hidden."""
        found = {}
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name in self._ours:
                    continue
                try:
                    found[self.folder / entry.name] = (
                        stamp(entry.stat()) if entry.is_file() else _NO_STAMP
                    )
                except FileNotFoundError:  # taken away between two calls
                    continue
                except OSError:  # a damaged entry of a disk hides no other
                    found[self.folder / entry.name] = _NO_STAMP
        return found


@contextlib.contextmanager
def _collected(errors: list[OSError]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        errors.append(error)


@contextlib.contextmanager
def _naming_the_pair() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotMovedError(error.errno, error.strerror, error.filename) from error


def _is_another(moved: Path, looked_at: Stamp) -> bool:
    try:
        return stamp(moved.stat())[:3] != looked_at[:3]  # moving it changed the last
    except OSError:  # a link that pointed to its neighbour
        return False


def _no_files_of_pairs(there: Mapping[Path, Stamp]) -> list[Path]:
    """Pipes, folders and links to nothing that are named as images of which both are there."""
    named = {path: found for path in sorted(there) if (found := name_and_role(path.name))}
    roles = set(named.values())
    whole = {name for name, _ in roles if {(name, "pre"), (name, "post")} <= roles}
    return [path for path, (name, _) in named.items() if there[path] == _NO_STAMP and name in whole]


def _free_together(folder: Path, image: Path, others: Iterable[Path]) -> dict[Path, Path]:
    """New places in `folder` that nothing has: an image and what lies beside it, still so."""
    for number in count(1):
        name = image.name if number == 1 else f"{image.stem}-{number}{image.suffix}"
        targets = {image: folder / name}
        targets |= {each: folder / renamed(each.name, image.name, name) for each in others}
        if not any(os.path.lexists(each) for each in targets.values()):
            return targets
    raise AssertionError


def _free(path: Path) -> Path:
    """`path`, or the first of path-2, path-3, ... that nothing has."""
    return _free_together(path.parent, path, ())[path]

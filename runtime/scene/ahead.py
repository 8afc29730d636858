"""Work on the next item while the caller is busy with this one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")

PATIENCE = 0.1
"""Seconds after which a blocked thread looks whether it is still wanted."""


class _End:
    pass


@dataclass(frozen=True)
class _Failure:
    error: BaseException


def ahead(items: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    """The same items, made in a thread of their own, up to `depth` in advance.

    An error in `items` is raised here, in its place. When the caller stops, so does the
    thread, before the next item.
    """
    waiting: queue.Queue[Item | _End | _Failure] = queue.Queue(depth)
    unwanted = threading.Event()
    thread = threading.Thread(target=_fill, args=(items, waiting, unwanted), daemon=True)
    thread.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            if isinstance(item, _Failure):
                raise item.error
            yield item
    finally:
        unwanted.set()
        if thread is not threading.current_thread():  # whose garbage collection may end this
            thread.join()


def _fill(
    items: Iterable[Item],
    waiting: queue.Queue[Item | _End | _Failure],
    unwanted: threading.Event,
) -> None:
    end: _End | _Failure = _End()
    try:
        for item in items:
            if not _put(item, waiting, unwanted):
                break
    except BaseException as error:  # raised in the caller's thread, whatever it is
        end = _Failure(error)
    _put(end, waiting, unwanted)


def _put(
    item: Item | _End | _Failure,
    waiting: queue.Queue[Item | _End | _Failure],
    unwanted: threading.Event,
) -> bool:
    while not unwanted.is_set():
        try:
            waiting.put(item, timeout=PATIENCE)
            return True
        except queue.Full:
            continue
    return False

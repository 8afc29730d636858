"""A function applied to many things by several processes, none of which outlives this one."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from runtime.errors import ConfigError, ToolkitError
from train.shared_memory import require_shared_memory

_Given = TypeVar("_Given")
_Result = TypeVar("_Result")

_WORTH = 64
"""Things from which on a process repays its start, each being some milliseconds of work."""
_CHUNK = 8


def mapped(
    function: Callable[[_Given], _Result], things: Sequence[_Given], workers: int
) -> Iterator[_Result]:
    """Results in order, of processes where there is much to do, else of threads.

    function: can be pickled; imports no more than it needs, as each process does so.

    Raises:
        ToolkitError: a process was killed.
    """
    if workers < 2 or len(things) < workers * _WORTH or not _have_locks():
        with ThreadPoolExecutor(workers) as threads:
            yield from threads.map(function, things)
        return
    # Not fork: a caller that has used OpenCV's threads would leave a child their locks.
    fresh = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, fresh, _begin)
    try:
        yield from pool.map(function, things, chunksize=_CHUNK)
    except BrokenProcessPool as error:
        raise ToolkitError(
            "a process that checks tiles was killed, for memory as a rule; what was checked is "
            "kept, give the command again"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _have_locks() -> bool:
    try:
        require_shared_memory("", 0, "")
    except ConfigError:
        return False
    return True


def _begin() -> None:
    """In a process: one thread, and an end with the process that it works for."""
    import cv2

    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which the whole group gets; the parent answers
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)

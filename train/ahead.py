"""Loading ahead: the next items are read while one is computed with."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item, Loaded = TypeVar("Item"), TypeVar("Loaded")

THREADS = 2
"""That read. OpenCV and zlib let others run while they decode."""


def ahead(
    load: Callable[[Item], Loaded], items: Iterable[Item], threads: int = THREADS
) -> Iterator[Loaded]:
    """`load` of each item, in order; as many are kept ahead as there are threads.

    An error of `load` is raised in its item's place.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="ahead") as pool:
        coming: deque[Future[Loaded]] = deque()
        try:
            for item in items:
                coming.append(pool.submit(load, item))
                if len(coming) > threads:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            for each in coming:
                each.cancel()

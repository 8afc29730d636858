"""A bar on a terminal, closed before the line of an error is printed behind it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tqdm import tqdm


@contextlib.contextmanager
def progress(what: str, unit: str = "it") -> Iterator[Callable[[Iterable[Any]], Iterable[Any]]]:
    """Gives what puts a bar over some items. Where stderr is no terminal there is none."""
    with contextlib.ExitStack() as bars:
        yield lambda items: bars.enter_context(tqdm(items, desc=what, unit=unit, disable=None))

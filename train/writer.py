"""Files written by a thread, so that whoever computes goes on meanwhile."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from torch import Tensor

from runtime import cli
from runtime.errors import reason

_WAITING = 2
"""Jobs that are kept at most, each with its copy of the weights: a best and a last checkpoint."""


class BackgroundWriter:
    """Does jobs one after the other, in their order.

    After one has failed none is done any more, and its error is raised by whatever is called
    next: a later file must not say that an earlier one is there.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._jobs: deque[Future[None]] = deque()
        self.error: BaseException | None = None

    def submit(self, job: Callable[[], None]) -> None:
        """Do `job` after those before it; waits while too many are to be done."""
        while len(self._jobs) >= _WAITING:
            self._jobs.popleft().result()
        self.check()
        self._jobs.append(self._thread.submit(self._do, job))

    def check(self) -> None:
        """Raises: the error of a job that has failed."""
        if self.error is not None:
            raise self.error

    def drain(self) -> None:
        """Wait until all is written.

        Raises: the error of a job that has failed.
        """
        while self._jobs:
            self._jobs.popleft().result()
        self.check()

    def _do(self, job: Callable[[], None]) -> None:
        if self.error is None:
            try:
                job()
            except BaseException as error:  # kept for the thread that computes
                self.error = error


@contextlib.contextmanager
def background_writer() -> Iterator[BackgroundWriter]:
    """A writer that has written everything when the block ends, however it ends.

    Raises: the error of a job that has failed, unless the block ends by another one.
    """
    writer = BackgroundWriter()
    try:
        yield writer
        writer.drain()
    except BaseException as error:
        with contextlib.suppress(BaseException):
            writer.drain()
        if writer.error not in (None, error):
            cli.note(f"note: besides, a save failed: {reason(writer.error)}")
        raise
    finally:
        writer._thread.shutdown()


def snapshot(content: Any) -> Any:
    """The same dicts, lists and tuples, with copies on the processor of every tensor in them."""
    if isinstance(content, Tensor):
        return content.detach().to("cpu", copy=True)
    if isinstance(content, dict):
        return {key: snapshot(each) for key, each in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(snapshot(each) for each in content)
    return content

"""SIGTERM, the polite way to end a long run: finish the step, save, leave with exit code 0."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class Interrupt:
    """Whether somebody has asked the process to end."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, _signal: int, _frame: FrameType | None) -> None:
        self.asked = True


@contextlib.contextmanager
def on_sigterm() -> Iterator[Interrupt]:
    """SIGTERM sets `asked` instead of ending the process, for as long as the block runs."""
    interrupt = Interrupt()
    before = signal.signal(signal.SIGTERM, interrupt.ask)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGTERM, before)

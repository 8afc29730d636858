"""What processes pass each other through /dev/shm, of which a container has 64 MB or less."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from runtime.errors import ConfigError

FOLDER = Path("/dev/shm")

_LOCKS = 256 << 10
"""Bytes for the locks of a pool: a page each, of up to 64 KiB on some boards."""


def require_shared_memory(what: str, size: int, instead: str) -> None:
    """Before any work: a process that finds the space full is killed, or waits for ever.

    Args:
        what: what needs it, the message's beginning.
        size: bytes of data at a time.
        instead: what to do without shared memory.
    Raises:
        ConfigError: there is less.
    """
    if sys.platform != "linux":
        return
    need, free = size + _LOCKS, _free()
    if free < need:
        raise ConfigError(
            f"{what}: needs {_amount(need)} of shared memory and {FOLDER} has {_amount(free)} "
            f"free; give the container more (docker run --shm-size=1g), or {instead}"
        )


def _free() -> int:
    if not os.access(FOLDER, os.W_OK):
        return 0
    space = os.statvfs(FOLDER)
    return space.f_bavail * space.f_frsize


def _amount(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.0f} kB"

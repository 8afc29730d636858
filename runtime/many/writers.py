"""Is somebody still writing a file? An upload that pauses looks like one that is complete."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from pathlib import Path


def is_being_written(path: Path) -> bool:
    """Has a process of this machine the file open for writing?

    False where the system cannot tell: of another user's file, on a network disk.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        # A read lease is refused while a writer is there. One that comes while we hold it, a
        # few microseconds, is announced by a signal, whose default would end this process.
        fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    finally:
        os.close(handle)
    return False

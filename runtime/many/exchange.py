"""Two folders change places in one step, where the file system can."""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def replace_folder(new: Path, old: Path) -> None:
    """`new` becomes `old`, and what was there is removed.

    A reader sees the one or the other. Where the system cannot exchange (FAT, some network
    disks), there is none for a moment.
    """
    if _exchanged(new, old):
        shutil.rmtree(new, ignore_errors=True)
        return
    retired = new.with_name(f"{new.name}.replaced")
    shutil.rmtree(retired, ignore_errors=True)
    old.rename(retired)
    try:
        new.rename(old)
    except OSError:
        retired.rename(old)
        raise
    shutil.rmtree(retired, ignore_errors=True)


def _exchanged(new: Path, old: Path) -> bool:
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    names = (os.fsencode(new), os.fsencode(old))
    return bool(
        renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], ctypes.c_uint(_RENAME_EXCHANGE)) == 0
    )

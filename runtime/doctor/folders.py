"""The folders that are written: permission, room, and who else works in them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from runtime import cache, host
from runtime.doctor.finding import Asked, Finding, Findings
from runtime.locks import LOCK, locked

CHECK = "folders"
LEAST = 1 << 30
"""Bytes: the maps of a scene of 20,000 x 20,000 pixels, while they are made."""


def check(asked: Asked) -> Findings:
    for option, place in (("--out", asked.out), ("--inbox", asked.inbox)):
        if place is None:
            yield Finding(CHECK, "not checked", f"no {option} was named")
        else:
            yield from _written(place)
    if asked.out is not None:
        yield from _held(asked.out)
    yield from _cache()


def _written(place: Path) -> Findings:
    there = next(each for each in (place, *place.absolute().parents) if each.exists())
    if not there.is_dir():
        yield Finding(CHECK, "problem", f"{there}: is a file", f"mv {there} {there}.old")
        return
    try:
        with tempfile.NamedTemporaryFile(prefix=".", suffix=".partial", dir=there) as file:
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
        disk = shutil.disk_usage(there)
        nodes = os.statvfs(there)
    except OSError as error:
        who = "$USER" if os.name == "posix" else "you"
        yield Finding(
            CHECK, "problem", f"{there}: nothing can be written ({error.strerror})",
            f"df -h {there} (is it full?); mount -o remount,rw {there}; sudo chown {who} {there}",
        )  # fmt: skip
        return
    free = f"{disk.free / (1 << 30):.2f} GiB free of {disk.total / (1 << 30):.2f}"
    if disk.free < LEAST:
        yield Finding(
            CHECK, "problem", f"{there}: {free}; maps of a large scene take {LEAST >> 30} GiB "
            "while they are made",
            f"du -xh --max-depth=1 {there} | sort -h | tail, and move old maps",
        )  # fmt: skip
    elif nodes.f_files and nodes.f_favail < 1000:
        yield Finding(
            CHECK, "problem", f"{there}: {nodes.f_favail} files more, then the file system is full",
            f"find {there} -xdev | cut -d/ -f1-4 | sort | uniq -c | sort -n | tail",
        )  # fmt: skip
    else:
        yield Finding(CHECK, "ok", f"{there}: can be written, {free}")


def _held(place: Path) -> Findings:
    """A lock is the kernel's: it goes with its process, however that ended."""
    path = place / LOCK
    try:
        with path.open("r+") as lock:
            free = locked(lock)
            inode = os.fstat(lock.fileno()).st_ino
    except OSError:
        return
    if free:
        yield Finding(CHECK, "ok", f"{place}: no batch or watch is at work there")
        return
    holder = _holder(inode)
    yield Finding(
        CHECK, "problem", f"{place}: a batch or watch is at work there"
        + (f" (process {holder})" if holder else "") + ", and a second one will not start",
        f"kill {holder} (after its pair)" if holder else f"fuser -v {path}",
    )  # fmt: skip


def _holder(inode: int) -> int | None:
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if len(words) > 5 and "FLOCK" in words and words[-3].endswith(f":{inode}"):
            return int(words[-4])
    return None


def _cache() -> Findings:
    folder = host.cache_folder()
    if why := cache.why_unused():
        yield Finding(
            CHECK, "note" if not folder.is_absolute() else "problem",
            f"{why}; compiled models are not kept, so every start compiles again",
            f"chmod go-w {folder}; chown -R $USER {folder} (or XDG_CACHE_HOME=FOLDER of yours)",
        )  # fmt: skip
    else:
        yield Finding(CHECK, "ok", f"{folder}: compiled models can be kept")

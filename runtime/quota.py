"""What the cgroups of this process grant it, processors' time and memory: what containers limit.

A container with `--cpus 2` on a machine of 64 cores sees and may use all of them, for two
cores' time in all; with more threads than that, each waits for the others' time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_PROCESS = Path("/proc/self")


def processors(process: Path | None = None) -> float | None:
    """Processors' worth of time, of the tightest limit; None where there is none.

    A limit of cgroup v1 or v2, of the process's own group or any that it lies in. process:
    its folder under /proc, where it is not this one.
    """
    limits = [_limit(folder) for folder in _groups(process or _PROCESS, "cpu")]
    return min((limit for limit in limits if limit is not None), default=None)


def memory(process: Path | None = None) -> int | None:
    """Bytes that may still be taken below the tightest limit; None where there is none.

    What is kept of files in memory counts as free: it goes when memory is needed.
    """
    rests = [_memory_left(folder) for folder in _groups(process or _PROCESS, "memory")]
    return min((rest for rest in rests if rest is not None), default=None)


def _groups(process: Path, controller: str) -> list[Path]:
    """The folders of the groups that the process is in, for one controller of version 1."""
    try:
        groups = [line.split(":", 2) for line in _lines(process / "cgroup")]
        mounts = [_mount(line) for line in _lines(process / "mountinfo")]
    except (OSError, ValueError):  # another system than Linux
        return []
    return [
        folder
        for kind, options, root, point in mounts
        for _, controllers, path in groups
        if _is_of(kind, options, controllers.split(","), controller)
        for folder in _folders(point, root, path)
    ]


def _is_of(kind: str, options: list[str], controllers: list[str], controller: str) -> bool:
    """Is the mount that of the hierarchy whose controllers, none in version 2, are these?"""
    if kind == "cgroup2":
        return controllers == [""]
    return kind == "cgroup" and controller in options and controller in controllers


def _mount(line: str) -> tuple[str, list[str], str, Path]:
    """Of a line of mountinfo: type, options of the file system, what of it is mounted, where."""
    before, after = line.split(" - ", 1)
    root, point = (_unescaped(text) for text in before.split(" ")[3:5])
    kind, _, options = after.split(" ", 2)
    return kind, options.strip().split(","), root, Path(point)


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _folders(point: Path, root: str, path: str) -> Iterator[Path]:
    """The group's folder and those that it lies in, as far as they are mounted.

    In a container the path may be the host's, of which nothing is mounted but what is below
    `root`: then the mount point is the group's folder.
    """
    try:
        below = PurePosixPath(path).relative_to(root)
    except ValueError:
        below = PurePosixPath()
    if ".." in below.parts:
        below = PurePosixPath()
    folder = point / below
    yield folder
    while folder != point:
        folder = folder.parent
        yield folder


def _limit(folder: Path) -> float | None:
    """Version 2 has both numbers in one file, "max" for none; version 1 has -1 for none."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        limit = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max" is no number
        return None
    return limit if limit > 0 else None


def _memory_left(folder: Path) -> int | None:
    """Version 2 has "max" for no limit; version 1 has a number that no machine has."""
    names = ("memory.max", "memory.current")
    if not (folder / names[0]).is_file():
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    try:
        limit, used = (int((folder / name).read_text()) for name in names)
        facts = dict(line.split(" ", 1) for line in _lines(folder / "memory.stat"))
    except (OSError, ValueError):
        return None
    cached = sum(int(facts.get(f"{which}_file", 0)) for which in ("inactive", "active"))
    return max(0, limit - used + cached)


def _lines(path: Path) -> list[str]:
    return path.read_text(errors="surrogateescape").splitlines()

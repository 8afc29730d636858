"""What this machine is: platform, cores, GPU. Asked without any inference library."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from runtime import quota
from runtime.cuda.driver import compute_capability
from runtime.errors import ConfigError

__all__ = [
    "available_memory",
    "cache_folder",
    "check_threads",
    "compute_capability",
    "physical_cores",
    "platform_name",
    "processor",
]

MOST_THREADS = 512

_MEMORY = Path("/proc/meminfo")
_CPU_INFO = Path("/proc/cpuinfo")
_CPUS = Path("/sys/devices/system/cpu")


def platform_name() -> str:
    """Operating system and processor, like "linux-x86_64" or "linux-aarch64"."""
    return f"{sys.platform}-{platform.machine()}".lower()


def check_threads(threads: int) -> None:
    """Raises ConfigError for a number of threads that no machine has: starting them has no end."""
    if not 1 <= threads <= MOST_THREADS:
        raise ConfigError(f"--threads is {threads}; expected 1 to {MOST_THREADS}")


def physical_cores() -> int:
    """Physical cores that this process may use, whole ones within its container's CPU quota.

    Two hardware threads of one core share its vector units: a second thread there
    slows a convolution down.
    """
    granted = quota.processors()
    cores = _cores()
    return cores if granted is None else max(1, min(cores, int(granted)))


def _cores() -> int:
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    cores = set()
    for cpu in os.sched_getaffinity(0):
        siblings = _CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list"
        try:
            cores.add(siblings.read_text().strip())
        except OSError:
            cores.add(str(cpu))
    return max(1, len(cores))


def available_memory() -> int | None:
    """Bytes that can be taken, within the container's limit; None where the system does not say."""
    granted = quota.memory()
    try:
        lines = dict(line.split(":", 1) for line in _MEMORY.read_text().splitlines())
        free = int(lines["MemAvailable"].removesuffix("kB")) << 10
    except (OSError, ValueError, KeyError):
        return granted
    return free if granted is None else min(free, granted)


def processor() -> str:
    """Its name and what it can do, so that what was compiled for another is not used."""
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        return platform.processor()
    kinds = ("model name", "flags", "Features", "CPU part")
    return "; ".join(sorted({line for line in lines if line.startswith(kinds)}))


def cache_folder() -> Path:
    """Per user; a relative XDG_CACHE_HOME counts as none, as its specification says."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        try:
            base = Path.home() / ".cache"
        except RuntimeError:  # a user without a home: nothing can be kept under this
            base = Path(os.devnull)
    return base / "dual-hrnet"

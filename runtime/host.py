"""What this machine is: platform, cores, GPU. Asked without any inference library."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # CUdevice_attribute in cuda.h


def platform_name() -> str:
    """Operating system and processor, like "linux-x86_64" or "linux-aarch64"."""
    return f"{sys.platform}-{platform.machine()}".lower()


def physical_cores() -> int:
    """Physical cores that this process may use.

    Two hardware threads of one core share its vector units: a second thread there
    slows a convolution down.
    """
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


def compute_capability() -> str | None:
    """Compute capability of the first NVIDIA GPU, like "8.6"; None without one.

    Asks the driver itself, which Jetson devices have too.
    """
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    if cuda.cuInit(0) != 0 or cuda.cuDeviceGet(ctypes.byref(device), 0) != 0:
        return None
    for value, attribute in ((major, _CAPABILITY_MAJOR), (minor, _CAPABILITY_MINOR)):
        if cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device) != 0:
            return None
    return f"{major.value}.{minor.value}"

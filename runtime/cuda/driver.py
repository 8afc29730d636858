"""What NVIDIA's driver says by itself, without any CUDA package."""

from __future__ import annotations

import ctypes

LIBRARY = "libcuda.so.1"
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # CUdevice_attribute in cuda.h


def compute_capability() -> str | None:
    """Compute capability of the first NVIDIA GPU, like "8.6"; None without one.

    Asks the driver itself, which Jetson devices have too.
    """
    try:
        cuda = ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    if cuda.cuInit(0) != 0 or cuda.cuDeviceGet(ctypes.byref(device), 0) != 0:
        return None
    for value, attribute in ((major, _CAPABILITY_MAJOR), (minor, _CAPABILITY_MINOR)):
        if cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device) != 0:
            return None
    return f"{major.value}.{minor.value}"


def absence() -> str:
    """Why `compute_capability` is None."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return f"there is no NVIDIA driver ({LIBRARY} cannot be loaded)"
    return f"the NVIDIA driver ({LIBRARY}) finds no GPU"


def advice(out_of_memory: bool) -> str:
    """What to do about a call that failed."""
    if out_of_memory:
        return "free the GPU's memory or build the engine with a smaller --batch"
    return "see the driver's log (dmesg), and whether nvidia-smi or tegrastats answers"


def pop_current() -> None:
    """Take the context that is current off this thread's stack."""
    ctypes.CDLL(LIBRARY).cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))

"""What NVIDIA's driver says by itself, without any CUDA package."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

LIBRARY = "libcuda.so.1"
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # CUdevice_attribute in cuda.h


@dataclass(frozen=True)
class Gpu:
    """`number`: among those that CUDA_VISIBLE_DEVICES lets this process see, from 0."""

    number: int
    name: str
    compute_capability: str

    def __str__(self) -> str:
        return f"{self.number} ({self.name}, compute capability {self.compute_capability})"


def gpus() -> list[Gpu]:
    """All that this process may use. Asks the driver itself, which Jetson devices have too."""
    try:
        cuda = ctypes.CDLL(LIBRARY)
    except OSError:
        return []
    count = ctypes.c_int()
    if cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    found = (_gpu(cuda, number) for number in range(count.value))
    return [each for each in found if each is not None]


def _gpu(cuda: ctypes.CDLL, number: int) -> Gpu | None:
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    answers = (
        cuda.cuDeviceGet(ctypes.byref(device), number),
        cuda.cuDeviceGetName(name, len(name), device),
        cuda.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY_MAJOR, device),
        cuda.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY_MINOR, device),
    )
    if any(answers):
        return None
    return Gpu(number, name.value.decode(errors="replace"), f"{major.value}.{minor.value}")


def compute_capability() -> str | None:
    """Compute capability of the first NVIDIA GPU, like "8.6"; None without one."""
    return next((each.compute_capability for each in gpus()), None)


def absence() -> str:
    """Why there are no `gpus`."""
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

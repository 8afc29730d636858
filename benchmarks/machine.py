"""The machine that a figure was measured on; a latency means nothing without it."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from runtime import host

_CPU_INFO = Path("/proc/cpuinfo")
_CPU_KEYS = ("model name", "Model", "Hardware")  # the latter two on ARM boards
_GOVERNORS = "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor"
_LIBRARIES = (
    "numpy", "opencv-python-headless", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt",
    "tensorrt-rtx", "cuda-python", "rasterio", "torch",
)  # fmt: skip


def describe_machine() -> dict[str, Any]:
    """JSON-ready.

    load: the run queue over the last minute, near 0 on an idle machine.
    affinity: processors that this process may use; None where the system cannot say.
    governor: of their clock's frequency; None where the system hides it (virtual machines do).
    libraries: installed versions of those that compute.
    """
    affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return {
        "cpu": _cpu(),
        "cores": host.physical_cores(),
        "gpu_compute_capability": host.compute_capability(),
        "platform": host.platform_name(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "affinity": affinity,
        "governor": _governor(affinity or []),
        "libraries": _libraries(),
    }


def _cpu() -> str:
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    known = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)
    }
    return next((known[key] for key in _CPU_KEYS if known.get(key)), "unknown")


def _governor(processors: list[int]) -> str | None:
    found = set()
    for each in processors:
        try:
            found.add(Path(_GOVERNORS.format(each)).read_text().strip())
        except OSError:
            return None
    return " and ".join(sorted(found)) or None


def _libraries() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found

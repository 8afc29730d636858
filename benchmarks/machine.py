"""The machine that a figure was measured on; a latency means nothing without it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from runtime import host

_CPU_INFO = Path("/proc/cpuinfo")
_CPU_KEYS = ("model name", "Model", "Hardware")  # the latter two on ARM boards


def describe_machine() -> dict[str, Any]:
    """JSON-ready. `load` is the run queue over the last minute: near 0 on an idle machine."""
    return {
        "cpu": _cpu(),
        "cores": host.physical_cores(),
        "gpu_compute_capability": host.compute_capability(),
        "platform": host.platform_name(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
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

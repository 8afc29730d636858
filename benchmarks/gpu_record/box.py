"""The machine: its GPU and driver, and which libraries can use it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gpu_record.plan import Box
from runtime.cuda import driver
from runtime.errors import BackendError

_DRIVER = Path("/proc/driver/nvidia/version")
_ASKED = "name,driver_version,memory.total,power.limit,clocks.max.sm,mig.mode.current"


def gpu_here() -> driver.Gpu:
    """The first GPU; BackendError on a machine without one."""
    found = driver.gpus()
    if not found:
        raise BackendError(
            f"{driver.absence()}, and everything here is measured on an NVIDIA GPU; give the "
            "command on a machine with one"
        )
    return found[0]


def look(gpu: driver.Gpu) -> Box:
    return Box(
        gpu.compute_capability,
        _importable("tensorrt"),
        _rtx_capabilities(),
        _cuda_provider(gpu.number),
    )


def describe_gpu(gpu: driver.Gpu) -> dict[str, Any]:
    """JSON-ready. driver, told: None where the system does not say (a Jetson has no nvidia-smi)."""
    try:
        version = _DRIVER.read_text().splitlines()[0]
    except (OSError, IndexError):
        version = None
    return {**asdict(gpu), "gpus": len(driver.gpus()), "driver": version, "told": _told(gpu)}


def _told(gpu: driver.Gpu) -> dict[str, str] | None:
    """What nvidia-smi says of it."""
    if shutil.which("nvidia-smi") is None:
        return None
    line = ["nvidia-smi", f"--query-gpu={_ASKED}", "--format=csv,noheader"]
    done = subprocess.run(line, capture_output=True, text=True)
    rows = done.stdout.strip().splitlines()
    if done.returncode or gpu.number >= len(rows):
        return None
    values = (each.strip() for each in rows[gpu.number].split(","))
    return dict(zip(_ASKED.split(","), values, strict=False))


def _importable(module: str) -> bool:
    """Its libraries may be missing where its bindings are there."""
    if importlib.util.find_spec(module) is None:
        return False
    try:
        importlib.import_module(module)
    except (ImportError, OSError):
        return False
    return True


def _rtx_capabilities() -> tuple[str, ...] | None:
    if not _importable("tensorrt_rtx"):
        return None
    from export.builders.tensorrt import capabilities

    return tuple(capabilities())


def _cuda_provider(gpu: int) -> str | None:
    from runtime.backends.onnxruntime_cuda import load_cuda_provider

    try:
        load_cuda_provider(gpu)
    except BackendError as error:
        return str(error)
    return None

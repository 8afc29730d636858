"""Which of the GPUs here an engine runs on. Asked before its payload or its library is loaded."""

from __future__ import annotations

from pathlib import Path

from runtime import host
from runtime.cuda import driver
from runtime.errors import BackendError, ConfigError, TargetMismatchError
from runtime.manifest import Manifest

_PORTABLE = ("onnxruntime-cuda",)
"""Backends whose payload is the graph itself, which no platform changes."""


def fitting_gpus(manifest: Manifest, folder: Path, number: int | None = None) -> list[int]:
    """The numbers of the GPUs here that the engine was built for, at least one; `number` alone.

    TargetMismatchError for another platform or other GPUs, BackendError where there is no GPU,
    ConfigError where there is none of that number.
    """
    target = manifest.target
    rebuild = f"rebuild on this machine with {manifest.rebuild_command(folder)}"
    here = host.platform_name()
    if target.platform != here and target.backend not in _PORTABLE:
        raise TargetMismatchError(
            f"{folder}: a {target.backend} engine built for {target.platform}, "
            f"this machine is {here}; {rebuild}"
        )
    there = driver.gpus()
    if not there:
        raise BackendError(
            f"{folder}: a {target.backend} engine runs on an NVIDIA GPU, and {driver.absence()}; "
            "install the driver, or build with --target onnxruntime or --target openvino"
        )
    listed = "this process sees GPU " + ", GPU ".join(str(each) for each in there)
    tried = [each for each in there if number in (None, each.number)]
    if not tried:
        raise ConfigError(f"{folder}: there is no GPU {number} for it; {listed}")
    fitting = [
        each.number
        for each in tried
        if target.compute_capability in (None, each.compute_capability)
    ]
    if not fitting:
        asked = "" if number is None else f"; GPU {number} was asked for"
        raise TargetMismatchError(
            f"{folder}: a {target.backend} engine built for compute capability "
            f"{target.compute_capability}, {listed}{asked}; {rebuild}"
        )
    return fitting

"""Which engine to build: what each target offers, and what `auto` picks here."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from runtime.errors import ConfigError
from runtime.host import compute_capability
from runtime.manifest import BackendName, Precision
from runtime.manifest_fields import ON_GPU

NAMES: tuple[BackendName, ...] = (
    "tensorrt",
    "tensorrt-rtx",
    "onnxruntime-cuda",
    "openvino",
    "onnxruntime",
)
"""In the order `auto` prefers them."""

DEFAULT_CAPABILITY = "8.6"
"""What TensorRT-RTX compiles for where no GPU is present and none is named."""

_PRECISIONS: dict[BackendName, tuple[Precision, ...]] = {
    "tensorrt": ("fp32", "fp16", "int8"),
    "tensorrt-rtx": ("fp32", "fp16", "int8"),
    "onnxruntime-cuda": ("fp32", "fp16"),
    "openvino": ("fp32", "int8"),
    "onnxruntime": ("fp32", "int8"),
}


@dataclass(frozen=True)
class Target:
    """What to build for, and the reason in one line."""

    name: BackendName
    capability: str | None
    why: str

    @property
    def on_gpu(self) -> bool:
        """Does the engine need an NVIDIA GPU?"""
        return self.name in ON_GPU

    @property
    def compiled_for_here(self) -> bool:
        """Is the engine for this machine: for a processor, or for the GPU that is here?"""
        gpu = compute_capability() if self.on_gpu else None
        return not self.on_gpu or (gpu is not None and gpu == self.capability)


def choose(requested: str, precision: Precision, capability: str | None) -> Target:
    """The target to build for.

    Args:
        requested: a target's name, or "auto".
        capability: compute capability asked for, such as "8.6", or None for the GPU here.
    Raises:
        ConfigError: the target does not offer the precision, or cannot compile for it here.
    """
    gpu = compute_capability()
    if requested != "auto":
        name = _named(requested)
        _refuse_absent_precision(name, precision)
        if name == "tensorrt" and capability not in (None, gpu):
            raise ConfigError(
                f"--compute-capability {capability}: tensorrt compiles for the GPU that is here "
                f"({gpu or 'none'}) alone; use --target tensorrt-rtx, or build on the device"
            )
        return Target(name, _capability(name, capability, gpu), "asked for")
    passed_over = []
    for name in NAMES:
        reason = _unfit(name, precision, capability, gpu)
        if reason is None:
            why = "; ".join([*passed_over, f"{name} is here and offers {precision}"])
            return Target(name, _capability(name, capability, gpu), why)
        passed_over.append(f"{name}: {reason}")
    raise ConfigError(f"no target here can build {precision}: {'; '.join(passed_over)}")


def offers(requested: str, capability: str | None) -> list[tuple[Target, Precision]]:
    """Everything to compare for the best engine: of one target, or, with "auto", of the GPU's
    target where one is for the GPU here (or a capability is named), else of both processor
    targets.

    Raises: as `choose`.
    """
    if requested == "auto":
        first = choose("auto", "fp16" if capability or _one_for_the_gpu() else "fp32", capability)
        names = [first.name] if first.on_gpu else ["openvino", "onnxruntime"]
        names = [name for name in names if _installed(name)]
    else:
        names = [requested]
    found = []
    for name in names:
        for precision in _PRECISIONS[_named(name)]:
            found.append((choose(name, precision, capability), precision))
    return found


def _one_for_the_gpu() -> bool:
    """Whether there is a GPU, and a target for it."""
    gpu = compute_capability()
    names = (name for name in NAMES if name in ON_GPU)
    return gpu is not None and any(_unfit(name, "fp16", None, gpu) is None for name in names)


def _installed(name: BackendName) -> bool:
    if name == "onnxruntime-cuda":
        return importlib.util.find_spec("onnxruntime") is not None and has_cuda_provider()
    return importlib.util.find_spec(name.replace("-", "_")) is not None


def has_cuda_provider() -> bool:
    """Was the onnxruntime that is installed built for GPUs?"""
    from runtime.backends.onnxruntime import load_onnxruntime
    from runtime.backends.onnxruntime_cuda import has_provider

    try:
        return has_provider(load_onnxruntime())
    except ImportError:  # it is there, and broken
        return False


def _unfit(
    name: BackendName, precision: Precision, capability: str | None, gpu: str | None
) -> str | None:
    """Why `auto` passes a target over, or None."""
    if precision not in _PRECISIONS[name]:
        return f"no {precision}"
    if name in ("tensorrt", "onnxruntime-cuda") and gpu is None:
        return "no GPU"
    if name == "tensorrt" and capability not in (None, gpu):
        return f"compiles for the GPU here ({gpu}) alone"
    if not name.startswith("tensorrt") and capability is not None:
        return "has no compute capability"
    if not _installed(name):
        return "not installed"
    cpu_can = precision in _PRECISIONS["openvino"]
    if name == "tensorrt-rtx" and gpu is None and capability is None and cpu_can:
        return "no GPU to run it"
    if name == "tensorrt-rtx" and gpu is not None and capability is None:
        from export.builders.tensorrt import capabilities

        if gpu not in capabilities():
            return f"does not compile for compute capability {gpu}"
    return None


def _capability(name: BackendName, asked: str | None, gpu: str | None) -> str | None:
    if not name.startswith("tensorrt"):
        if asked is not None:
            where = "any NVIDIA GPU" if name in ON_GPU else "the CPU"
            raise ConfigError(f"--compute-capability {asked}: target {name} runs on {where}")
        return None
    if asked is not None:
        return asked
    if name == "tensorrt-rtx":
        return gpu or DEFAULT_CAPABILITY
    return gpu


def _named(requested: str) -> BackendName:
    for name in NAMES:
        if name == requested:
            return name
    raise ConfigError(f"--target {requested}: expected auto, {', '.join(NAMES)}")


def _refuse_absent_precision(name: BackendName, precision: Precision) -> None:
    if precision in _PRECISIONS[name]:
        return
    offered = " or ".join(f"--{p}" for p in _PRECISIONS[name])
    if name == "onnxruntime-cuda":
        raise ConfigError(
            f"--{precision}: the CUDA provider of ONNX Runtime has no INT8 convolution, it would "
            f"compute in floating point and convert between; use {offered}, or --target tensorrt"
        )
    raise ConfigError(
        f"--{precision}: {name} computes in FP32 on CPUs, an FP16 engine would be no faster; "
        f"use {offered}, or --target tensorrt-rtx"
    )

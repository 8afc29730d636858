"""The objects inside `manifest.json`; its reference page and JSON schema are made from these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from runtime.payload import PayloadFile

Precision = Literal["fp32", "fp16", "int8"]
BackendName = Literal["onnxruntime", "onnxruntime-cuda", "openvino", "tensorrt", "tensorrt-rtx"]

ON_GPU: frozenset[BackendName] = frozenset({"onnxruntime-cuda", "tensorrt", "tensorrt-rtx"})
"""Those that compute on an NVIDIA GPU; the others do on the processor."""


@dataclass(frozen=True)
class Model:
    """The network that the engine computes."""

    architecture: str
    """Name of the architecture, such as `dual-hrnet` or `si-analytics`."""
    width: int
    """Channels of the finest branch, such as 48 for W48."""
    parameters: int
    """Number of weights of both streams and the heads."""
    checkpoint_sha256: str
    """Of the checkpoint file, 64 hexadecimal digits."""
    gsd_m: tuple[float, ...] | None = None
    """Least and largest pixel, in metres, that the network was trained on, as its checkpoint
    or `--gsd MIN MAX` says; null, or the key is missing: not stated. Then 0.3 to 0.8 m is taken."""
    scale: tuple[float, ...] | None = None
    """Least and largest scale that training showed its tiles at, where an engine maps them at 1;
    null, or the key is missing: not stated."""
    reach_px: int | None = None
    """Pixels from a window's edge within which labels depend on what lies outside of it, as the
    engine was measured: the halo of large scenes. Null, or the key is missing: not measured. Then
    an eighth of the window is taken."""


@dataclass(frozen=True)
class Graph:
    """The deploy graph (ONNX) that the payload was made from."""

    sha256: str
    """Of the serialised ONNX model, 64 hexadecimal digits."""
    opset: int
    """ONNX operator set."""


@dataclass(frozen=True)
class Batch:
    """Pairs per inference: a range, or one number three times."""

    min: int
    """Fewest pairs; an engine that takes no single pair is given copies of it."""
    opt: int
    """The number that the compiler tuned for."""
    max: int
    """Most pairs."""


@dataclass(frozen=True)
class Input:
    """What the engine takes, and from where on it calls a pixel a building."""

    height: int
    """Pixels."""
    width: int
    """Pixels."""
    batch: Batch
    """Pairs per inference."""
    colour_order: Literal["RGB"]
    """Of the last axis of both images."""
    threshold: float
    """Building probability from which damage is above 0; between 0 and 1."""


@dataclass(frozen=True)
class Target:
    """Where the payload runs."""

    backend: BackendName
    """The inference library."""
    version: str
    """Of that library, when the engine was built."""
    compute_capability: str | None
    """Of the GPU that it was compiled for, such as `8.6`; null: it is compiled for none, and runs
    on the processor, or with `onnxruntime-cuda` on any NVIDIA GPU."""
    platform: str
    """Operating system and processor, such as `linux-x86_64`."""

    @property
    def on_gpu(self) -> bool:
        """Does it need an NVIDIA GPU?"""
        return self.backend in ON_GPU


@dataclass(frozen=True)
class WindowGate:
    """A small network that says which windows of a scene can hold a building. Its payload lies in
    the folder `gate` of the engine folder, and takes the same input as the engine."""

    model: Model
    """The gate's network."""
    graph: Graph
    """The gate's ONNX graph: `building` is its building probability, `damage` is 1 where that
    reaches the engine's threshold."""
    precision: Precision
    """Of its convolutions."""
    reduction: int
    """Pixels of the images, in each direction, that are one pixel of its network."""
    threshold: int
    """A window is computed where `building` reaches this, 1 to 255."""
    margin_px: int
    """Pixels around the kept part of a window that are looked at, too."""
    misses: dict[str, Any]
    """What it misses on labelled tiles; the runtime repeats it."""
    payload: tuple[PayloadFile, ...]
    """Every file that it consists of, in the folder `gate`."""

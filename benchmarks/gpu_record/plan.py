"""What is built for a machine, and what is not and why. A function of what the machine has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.manifest import BackendName, Precision

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16")


@dataclass(frozen=True)
class Box:
    """A machine with a GPU, as far as a plan depends on it.

    rtx_capabilities: those that the installed TensorRT-RTX compiles for; None: not installed.
    cuda_provider: why ONNX Runtime's cannot be used here; None: it can.
    """

    capability: str
    tensorrt: bool
    rtx_capabilities: tuple[str, ...] | None
    cuda_provider: str | None


@dataclass(frozen=True)
class Job:
    """An engine to build. `side` in pixels."""

    target: BackendName
    precision: Precision
    width: int
    side: int

    @property
    def name(self) -> str:
        return f"w{self.width}-{self.side}x{self.side}-{self.precision}-{self.target}"


@dataclass(frozen=True)
class Skipped:
    what: str
    why: str


def targets(box: Box) -> tuple[list[BackendName], list[Skipped]]:
    """The targets whose engines run on the machine's GPU, and why the others are left out."""
    reasons: dict[BackendName, str | None] = {
        "tensorrt": None if box.tensorrt else "the Python module tensorrt is not installed",
        "tensorrt-rtx": _rtx(box),
        "onnxruntime-cuda": box.cuda_provider,
    }
    taken = [name for name, why in reasons.items() if why is None]
    return taken, [Skipped(name, why) for name, why in reasons.items() if why is not None]


def jobs(box: Box, widths: Sequence[int], sides: Sequence[int]) -> list[Job]:
    """Every target in every precision at every width and size; the largest come last, so that
    little is lost where the memory of the GPU ends."""
    return [
        Job(target, precision, width, side)
        for side in sorted(sides)
        for width in sorted(widths)
        for target in targets(box)[0]
        for precision in PRECISIONS
    ]


def _rtx(box: Box) -> str | None:
    if box.rtx_capabilities is None:
        return "the Python module tensorrt_rtx is not installed"
    if box.capability not in box.rtx_capabilities:
        return f"it does not compile for compute capability {box.capability}"
    return None

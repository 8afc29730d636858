"""What a plan would take on a GPU at its published peak figures: an estimate, no measurement.

Each kernel takes the longer of its arithmetic at the peak rate and its bytes at the memory
bandwidth. Launch cost, tactics and occupancy would make it slower, so a real run takes longer;
only operands that stay in the L2 cache could make a kernel faster, or FP32 through TF32.

All rates are dense; where a vendor publishes 2:4 sparse ones, half of those.
"""

from __future__ import annotations

from dataclasses import dataclass

from export.plan.record import Kernel, Plan
from runtime.errors import ConfigError


@dataclass(frozen=True)
class Gpu:
    """Peak rates: tensor-core FP16 in TFLOPS, INT8 in TOPS, FP32 (no TF32) in TFLOPS.

    `bandwidth` in GB/s, `capability` such as "8.6".
    """

    name: str
    capability: str
    fp16: float
    int8: float
    fp32: float
    bandwidth: float
    source: str

    def seconds(self, kernel: Kernel) -> float:
        return max(self.compute_seconds(kernel), kernel.bytes / (self.bandwidth * 1e9))

    def compute_seconds(self, kernel: Kernel) -> float:
        return (kernel.flops or 0) / (self._peak(kernel.precision) * 1e12)

    def _peak(self, precision: str) -> float:
        rates = {"fp16": self.fp16, "bf16": self.fp16, "int8": self.int8, "fp8": self.int8}
        return rates.get(precision, self.fp32)


GPUS = (
    Gpu("T4", "7.5", 65, 130, 8.1, 320, "NVIDIA T4 data sheet"),
    Gpu("A100 SXM 80GB", "8.0", 312, 624, 19.5, 2039, "NVIDIA A100 80GB data sheet, dense"),
    Gpu("A10", "8.6", 125, 250, 31.2, 600, "NVIDIA A10 data sheet, dense"),
    Gpu("RTX 3090", "8.6", 142, 284, 35.6, 936, "NVIDIA GA102 whitepaper, FP16 accumulation"),
    Gpu(
        "Jetson AGX Orin 64GB",
        "8.7",
        42.5,
        85,
        5.3,
        204.8,
        "NVIDIA Jetson AGX Orin technical brief: GPU without DLA, 170 sparse INT8 TOPS halved",
    ),
    Gpu(
        "Jetson Orin Nano 8GB",
        "8.7",
        10,
        20,
        1.28,
        68,
        "NVIDIA Jetson Orin Nano data sheet: 15 W mode, 40 sparse INT8 TOPS halved",
    ),
    Gpu("L4", "8.9", 121, 242.5, 30.3, 300, "NVIDIA L4 data sheet, sparse rates halved"),
    Gpu("RTX 4090", "8.9", 330.3, 660.6, 82.6, 1008, "NVIDIA Ada whitepaper, FP16 accumulation"),
    Gpu(
        "H100 SXM",
        "9.0",
        989.4,
        1978.9,
        66.9,
        3350,
        "NVIDIA H100 data sheet and Hopper whitepaper, dense",
    ),
    Gpu(
        "RTX 5090",
        "12.0",
        419,
        838,
        104.8,
        1792,
        "NVIDIA RTX Blackwell whitepaper, dense, FP16 accumulation",
    ),
)

DEFAULT_GPU = "A10"


@dataclass(frozen=True)
class Estimate:
    """Seconds of one run: in all, and of its kernels limited by arithmetic and by memory."""

    gpu: Gpu
    seconds: float
    compute_bound: float
    memory_bound: float


def estimate(plan: Plan, gpu: Gpu) -> Estimate:
    """The plan on a GPU, as if it had been compiled for it."""
    compute = memory = 0.0
    for kernel in plan.kernels:
        seconds, arithmetic = gpu.seconds(kernel), gpu.compute_seconds(kernel)
        if arithmetic >= seconds:
            compute += seconds
        else:
            memory += seconds
    return Estimate(gpu, compute + memory, compute, memory)


def find_gpu(name: str) -> Gpu:
    """By name, in any case. Raises: ConfigError that lists the known."""
    for gpu in GPUS:
        if gpu.name.casefold() == name.strip().casefold():
            return gpu
    known = ", ".join(gpu.name for gpu in GPUS)
    raise ConfigError(f"--gpu {name}: no published figures for it here; known are {known}")


def gpu_of(plan: Plan) -> Gpu:
    """The first GPU of the plan's compute capability, or DEFAULT_GPU."""
    for gpu in GPUS:
        if "SM" + gpu.capability.replace(".", "") == plan.target:
            return gpu
    return find_gpu(DEFAULT_GPU)

"""A plan: the kernels that a compiler made of a graph, as data and as `plan.json`."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime import files, records
from runtime.errors import ExportError

FILE_NAME = "plan.json"

ITEM_BYTES = {
    "fp64": 8,
    "fp32": 4,
    "fp16": 2,
    "bf16": 2,
    "fp8": 1,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}
"""Bytes of one element, by the names that a plan gives to datatypes."""

CPU = "CPU"
"""`Plan.target` of what a processor executes."""


@dataclass(frozen=True)
class Tensor:
    """One operand of a kernel; `shape` as the compiler sees it, padded channels included."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


@dataclass(frozen=True)
class Kernel:
    """One launch on the device, or one executed operation on a processor."""

    name: str
    kind: str
    """The compiler's own word, such as correlation, kgen, Convolution or QLinearConv."""
    inputs: tuple[Tensor, ...]
    constants: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    nodes: tuple[str, ...]
    """Names of the ONNX nodes it computes, all or part of each."""
    precision: str
    """What a convolution multiplies in; of another kernel, what it writes."""
    flops: int | None
    """Of convolutions and matrix products, two a multiply-add; None of every other kernel.

    0 where the kernel is one, but its size could not be read.
    """
    seconds: float | None
    """Measured, mean of one run; None where it was only compiled."""
    module: str | None
    """Where in the network, such as pre.layer1.0.conv1; "after X" beside a convolution X."""

    @property
    def bytes(self) -> int:
        """Of all operands listed: what it moves where no cache helps."""
        return sum(t.bytes for t in (*self.inputs, *self.constants, *self.outputs))

    @property
    def is_convolution(self) -> bool:
        """Does it multiply matrices: convolution or fully connected?"""
        return self.flops is not None


@dataclass(frozen=True)
class Plan:
    """`target` is "SM86", or "CPU"; the memory totals are the compiler's own, in bytes."""

    compiler: str
    version: str
    target: str
    kernels: tuple[Kernel, ...]
    activation_bytes: int | None
    weight_bytes: int | None

    @property
    def convolutions(self) -> tuple[Kernel, ...]:
        return tuple(kernel for kernel in self.kernels if kernel.is_convolution)

    @property
    def flops(self) -> int:
        return sum(kernel.flops or 0 for kernel in self.kernels)

    @property
    def bytes(self) -> int:
        return sum(kernel.bytes for kernel in self.kernels)

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: Any) -> Plan:
        """What `as_dict` gave, also through JSON; runtime.records.RecordError names a bad key."""
        plan = records.parse(cls, content)
        for i, kernel in enumerate(plan.kernels):
            for tensor in (*kernel.inputs, *kernel.constants, *kernel.outputs):
                if tensor.dtype not in ITEM_BYTES:
                    raise records.RecordError(f"key kernels[{i}]: unknown dtype {tensor.dtype!r}")
        return plan

    def write(self, path: Path) -> None:
        files.write_json(path, self.as_dict())

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Raises: ExportError where it is no plan."""
        try:
            return cls.from_dict(records.load_json(path))
        except records.RecordError as error:
            raise ExportError(f"{path}: {error}; build the engine again") from error

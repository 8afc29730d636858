"""The demo's engines, and where everything lies in its folder."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

COMPUTE_CAPABILITY = "8.6"
"""Of the GPU that TensorRT-RTX compiles for; none need be here."""


@dataclass(frozen=True)
class EnginePlan:
    """An engine to build; `module` is the Python module that its target needs."""

    target: str
    precision: str
    module: str
    capability: str | None = None

    @property
    def name(self) -> str:
        suffix = "-sm" + self.capability.replace(".", "") if self.capability else ""
        return f"{self.target}-{self.precision}{suffix}"

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.module) is not None


REFERENCE = EnginePlan("onnxruntime", "fp32", "onnxruntime")
INT8 = EnginePlan("openvino", "int8", "openvino")
FOR_GPU = EnginePlan("tensorrt-rtx", "fp16", "tensorrt_rtx", COMPUTE_CAPABILITY)
ENGINES = (REFERENCE, INT8, FOR_GPU)
"""Each target once."""
FULL_ENGINES = (REFERENCE, EnginePlan("openvino", "fp32", "openvino"), INT8, FOR_GPU)
"""With INT8's own library in FP32: what the precision is worth, and what the library."""


@dataclass(frozen=True)
class Layout:
    """Where things lie in the demo's folder."""

    out: Path

    @property
    def marker(self) -> Path:
        """Says that the folder is a demo's, and may be replaced by the next."""
        return self.out / ".dual-hrnet-demo"

    @property
    def data(self) -> Path:
        return self.out / "data"

    @property
    def checkpoint(self) -> Path:
        return self.out / "run" / "best.pt"

    @property
    def calibration(self) -> Path:
        return self.out / "calibration.json"

    @property
    def latency(self) -> Path:
        return self.out / "latency.json"

    @property
    def map(self) -> Path:
        return self.out / "map"

    @property
    def report(self) -> Path:
        return self.out / "report.html"

    @property
    def summary(self) -> Path:
        return self.out / "summary.json"

    @property
    def markdown(self) -> Path:
        return self.out / "report.md"

    @property
    def agreement(self) -> Path:
        return self.out / "agreement.json"

    @property
    def peers(self) -> Path:
        return self.out / "peers.json"

    @property
    def pareto(self) -> Path:
        return self.out / "pareto"

    def engine(self, plan: EnginePlan) -> Path:
        return self.out / "engines" / plan.name

    def accuracy(self, plan: EnginePlan) -> Path:
        return self.out / "accuracy" / f"{plan.name}.json"

    def robustness(self, plan: EnginePlan) -> Path:
        return self.out / "robustness" / f"{plan.name}.json"

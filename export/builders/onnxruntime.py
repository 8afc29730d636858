"""ONNX Runtime executes the ONNX file itself; its payload is the graph."""

from __future__ import annotations

from pathlib import Path

import onnx

from export.onnx_graph import save_onnx
from runtime.backends.onnxruntime import load_onnxruntime


def version() -> str:
    return str(load_onnxruntime().__version__)


def build(model: onnx.ModelProto, folder: Path) -> list[str]:
    """Write the payload; returns its file names."""
    save_onnx(model, folder / "model.onnx")
    return ["model.onnx"]

"""ONNX Runtime executes the ONNX file itself; its payload is the graph."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime

from export.onnx_graph import save_onnx


def version() -> str:
    return str(onnxruntime.__version__)


def build(model: onnx.ModelProto, folder: Path) -> list[str]:
    """Write the payload; returns its file names."""
    save_onnx(model, folder / "model.onnx")
    return ["model.onnx"]

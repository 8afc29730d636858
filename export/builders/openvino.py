"""OpenVINO's payload is its intermediate representation: model.xml and model.bin."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import onnx

from export.onnx_graph import save_onnx
from runtime.backends.openvino import load_openvino
from runtime.errors import BackendError


def version() -> str:
    return str(_openvino().__version__).split("-")[0]


def build(model: onnx.ModelProto, folder: Path) -> list[str]:
    """Convert and write the payload; returns its file names. Weights keep their precision."""
    openvino = _openvino()
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        source = Path(scratch) / "model.onnx"
        save_onnx(model, source)
        converted = openvino.convert_model(str(source))
        _name_by_place(converted, model)
        try:
            openvino.save_model(converted, str(folder / "model.xml"), compress_to_fp16=False)
        except RuntimeError as error:  # a full disk, too, is no OSError there
            raise BackendError(
                f"OpenVINO could not write the engine ({error}); make room on the disk of --out, "
                "or choose another place"
            ) from error
        del converted  # it maps the scratch file
    return ["model.xml", "model.bin"]


def _name_by_place(converted: Any, model: onnx.ModelProto) -> None:
    """Nodes that the graph does not name are named by a count of all that this process has made.
    A second build in one process must not differ from the first: their place replaces it."""
    graph = model.graph
    known = {each.name for each in (*graph.node, *graph.initializer)}
    known.update(name for node in graph.node for name in node.output)
    for place, node in enumerate(converted.get_ordered_ops()):
        name = node.get_friendly_name()
        if name not in known and (counted := re.fullmatch(r"(.*)_\d+", name)):
            node.set_friendly_name(f"{counted[1]}__{place}")


def _openvino():
    try:
        return load_openvino()
    except ImportError as error:
        raise BackendError(
            "target openvino: OpenVINO is not installed; pip install openvino"
        ) from error

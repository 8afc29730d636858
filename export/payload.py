"""From a graph to the files of an engine, and what the manifest says of graph and network."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx

from export.builders import onnxruntime as onnxruntime_builder
from export.builders import openvino as openvino_builder
from export.builders import tensorrt as tensorrt_builder
from export.request import EngineRequest
from export.source import Source
from runtime import manifest

CALIBRATION = "calibration.json"
"""The ranges that an INT8 engine was built with, in its folder."""

REPRODUCIBLE: dict[manifest.BackendName, bool | None] = {
    "onnxruntime": True,
    "onnxruntime-cuda": True,
    "openvino": True,
    "tensorrt-rtx": False,
    "tensorrt": None,
}
"""Does another build of the same checkpoint and ranges, by the same versions on the same kind of
machine, give the same bytes of payload? None: not measured."""


def compile_payload(
    model: onnx.ModelProto, folder: Path, request: EngineRequest
) -> tuple[list[str], str]:
    """Payload file names, and the version of the library that made them."""
    name, calibration = request.target.name, request.source.calibration
    if name == "onnxruntime":
        names, version = onnxruntime_builder.build(model, folder), onnxruntime_builder.version()
    elif name == "onnxruntime-cuda":
        names = onnxruntime_builder.build_for_cuda(model, folder, request.options.batch[1])
        version = onnxruntime_builder.version()
    elif name == "openvino":
        names, version = openvino_builder.build(model, folder), openvino_builder.version()
    else:
        capability = request.target.capability
        names = tensorrt_builder.build(model, folder, request.options, name, capability)
        version = tensorrt_builder.version(name)
    if calibration is not None:
        calibration.write(folder / CALIBRATION)
        names = [*names, CALIBRATION]
    return names, version


def model_of(source: Source, gsd_m: tuple[float, ...] | None) -> manifest.Model:
    """What the manifest says of the network; how far it sees is measured later."""
    config = source.network.config
    return manifest.Model(
        config.architecture,
        config.width,
        source.parameters,
        source.checkpoint_sha256,
        gsd_m,
        source.training.scale,
    )


def graph_of(model: onnx.ModelProto, opset: int) -> manifest.Graph:
    return manifest.Graph(hashlib.sha256(model.SerializeToString()).hexdigest(), opset)

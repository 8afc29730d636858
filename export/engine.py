"""From a source to a complete engine folder: export, compile, prove, write the manifest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from export.builders import onnxruntime as onnxruntime_builder
from export.builders import openvino as openvino_builder
from export.builders import tensorrt as tensorrt_builder
from export.deploy import DeployOptions, deploy_graph
from export.onnx_graph import OPSET, export_onnx
from export.source import Source
from export.targets import Target
from export.verify import Maps, Pair, Runner, graph_runner, parity_pairs, prove
from runtime import cli, manifest
from runtime.damage import CLASS_NAMES
from runtime.engine import Engine, load_engine
from runtime.files import replacing_folder
from runtime.host import platform_name


@dataclass(frozen=True)
class EngineRequest:
    source: Source
    options: DeployOptions
    target: Target
    parity_data: Path | None = None
    parity_split: str = "test"
    parity_count: int = 2


def check_target(target: Target) -> None:
    """Is the target's library here, and can it compile for the GPU? Before anything slow.

    Raises:
        BackendError: what is not installed, and how to install it.
        ConfigError: a compute capability that the compiler does not know.
    """
    if target.name == "openvino":
        openvino_builder.version()
    elif target.nvidia:
        tensorrt_builder.library(target.name)
        if target.name == "tensorrt-rtx" and target.capability is not None:
            tensorrt_builder.check_capability(target.capability)


def build_engine(request: EngineRequest, out: Path) -> manifest.Manifest:
    """Build the engine folder `out`; it appears complete and verified, or not at all.

    Raises:
        ExportError: the compiler refused the graph, or an FP32 engine disagrees with PyTorch.
    """
    source, options = request.source, request.options
    graph = deploy_graph(source.network, options, source.calibration)
    pairs, description = parity_pairs(
        options.height,
        options.width,
        request.parity_count,
        request.parity_data,
        request.parity_split,
    )
    cli.note(f"exporting {source.checkpoint} at {options.height}x{options.width}")
    model = export_onnx(graph, options)
    with replacing_folder(out) as folder:
        cli.note(f"building for {request.target.name}")
        names, version = _compile(model, folder, request)
        built = _manifest(request, model, version, manifest.payload_of(folder, names))
        cli.note(f"comparing with PyTorch on {description}")
        verification = _verify(built, folder, model, request, pairs, description)
        complete = replace(built, verification=verification)
        complete.write(folder)
    return complete


def _compile(model: onnx.ModelProto, folder: Path, request: EngineRequest) -> tuple[list[str], str]:
    """Payload file names, and the version of the library that made them."""
    name = request.target.name
    if name == "onnxruntime":
        return onnxruntime_builder.build(model, folder), onnxruntime_builder.version()
    if name == "openvino":
        return openvino_builder.build(model, folder), openvino_builder.version()
    capability = request.target.capability
    names = tensorrt_builder.build(model, folder, request.options, name, capability)
    return names, tensorrt_builder.version(name)


def _manifest(
    request: EngineRequest,
    model: onnx.ModelProto,
    version: str,
    payload: tuple[manifest.PayloadFile, ...],
) -> manifest.Manifest:
    """Everything but the verification."""
    source, options, target = request.source, request.options, request.target
    config = source.network.config
    return manifest.Manifest(
        format=manifest.FORMAT,
        model=manifest.Model(
            config.architecture, config.width, source.parameters, source.checkpoint_sha256
        ),
        graph=manifest.Graph(hashlib.sha256(model.SerializeToString()).hexdigest(), OPSET),
        input=manifest.Input(
            options.height, options.width, manifest.Batch(*options.batch), "RGB", options.threshold
        ),
        class_names=CLASS_NAMES,
        precision=options.precision,
        target=manifest.Target(target.name, version, target.capability, platform_name()),
        calibration=source.calibration.fingerprint() if source.calibration else None,
        verification={},
        payload=payload,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _verify(
    built: manifest.Manifest,
    folder: Path,
    model: onnx.ModelProto,
    request: EngineRequest,
    pairs: list[Pair],
    description: str,
) -> dict[str, Any]:
    """Run the engine where it can run; elsewhere its ONNX graph, and say so."""
    source, options = request.source, request.options
    if request.target.nvidia:
        status, what = manifest.COMPILED_NOT_RUN, "its ONNX graph on ONNX Runtime"
        parity = prove(what, graph_runner(model, options), source.network, pairs, options)
    else:
        status, what = manifest.RAN, "the engine"
        built.write(folder)
        with load_engine(folder) as engine:
            parity = prove(what, _engine_runner(engine), source.network, pairs, options)
    return {"status": status, "parity": {"what": what, "pairs": description, **parity}}


def _engine_runner(engine: Engine) -> Runner:
    def run(pre: np.ndarray, post: np.ndarray) -> Maps:
        maps = engine.predict(pre, post)
        return maps.damage, maps.building, maps.confidence

    return run

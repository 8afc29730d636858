"""From a source to a complete engine folder: export, compile, prove, write the manifest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from export.builders import onnxruntime as onnxruntime_builder
from export.builders import openvino as openvino_builder
from export.builders import tensorrt as tensorrt_builder
from export.deploy import DeployOptions, deploy_graph
from export.onnx_graph import OPSET, OUTPUTS, export_onnx
from export.source import Source
from export.targets import Target
from export.verify import Maps, Pair, measure, parity_pairs
from runtime import cli, manifest
from runtime.damage import CLASS_NAMES
from runtime.engine import load_engine
from runtime.errors import ExportError
from runtime.files import replacing_folder
from runtime.host import platform_name

MIN_FP32_AGREEMENT = 0.9999
"""Share of labels on which an FP32 engine must agree with PyTorch, or the build fails."""


@dataclass(frozen=True)
class EngineRequest:
    source: Source
    options: DeployOptions
    target: Target
    parity_data: Path | None = None
    parity_split: str = "test"
    parity_count: int = 2


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
        described = _describe(request, model, version)
        unverified = manifest.Manifest(
            **described,
            verification={},
            payload=manifest.payload_of(folder, names),
        )
        cli.note(f"comparing with PyTorch on {description}")
        verification = _verify(unverified, folder, model, request, pairs, description)
        complete = manifest.Manifest(
            **described, verification=verification, payload=unverified.payload
        )
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


def _describe(request: EngineRequest, model: onnx.ModelProto, version: str) -> dict[str, Any]:
    source, options, target = request.source, request.options, request.target
    config = source.network.config
    return {
        "format": manifest.FORMAT,
        "model": manifest.Model(
            config.architecture, config.width, source.parameters, source.checkpoint_sha256
        ),
        "graph": manifest.Graph(hashlib.sha256(model.SerializeToString()).hexdigest(), OPSET),
        "input": manifest.Input(
            options.height, options.width, manifest.Batch(*options.batch), "RGB", options.threshold
        ),
        "class_names": CLASS_NAMES,
        "precision": options.precision,
        "target": manifest.Target(target.name, version, target.capability, platform_name()),
        "calibration": source.calibration.fingerprint() if source.calibration else None,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _verify(
    unverified: manifest.Manifest,
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
        parity = measure(_graph_runner(model), source.network, pairs, options.threshold)
    else:
        status, what = manifest.RAN, "the engine"
        unverified.write(folder)
        with load_engine(folder) as engine:

            def infer(pre: np.ndarray, post: np.ndarray) -> Maps:
                count = options.batch[0]
                maps = engine.predict(np.stack([pre] * count), np.stack([post] * count))
                return maps.damage[0], maps.building[0], maps.confidence[0]

            parity = measure(infer, source.network, pairs, options.threshold)
    agreement = parity["label_agreement"]
    if options.precision == "fp32" and agreement < MIN_FP32_AGREEMENT:
        raise ExportError(
            f"{what} agrees with PyTorch on {agreement:.4%} of the labels, an FP32 engine must on "
            f"{MIN_FP32_AGREEMENT:.2%}; nothing was written, report the checkpoint's architecture"
        )
    return {"status": status, "parity": {"what": what, "pairs": description, **parity}}


def _graph_runner(model: onnx.ModelProto):
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )

    def infer(pre: np.ndarray, post: np.ndarray) -> Maps:
        damage, building, confidence = session.run(
            list(OUTPUTS), {"pre": pre[None], "post": post[None]}
        )
        return damage[0], building[0], confidence[0]

    return infer

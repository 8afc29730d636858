"""From a request to a complete engine folder: export, compile, prove, write manifest and card."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import onnx

from calibration.gate import Comparison
from export.accuracy import Gate, open_gate, ranges_record
from export.bill import write_bill
from export.builders import onnxruntime as onnxruntime_builder
from export.builders import openvino as openvino_builder
from export.builders import tensorrt as tensorrt_builder
from export.card import write_card
from export.deploy import deploy_graph
from export.half_precision import check_activations
from export.material import Material
from export.onnx_graph import export_onnx
from export.parity import prove
from export.parity_pairs import described
from export.payload import REPRODUCIBLE, compile_payload, graph_of, model_of
from export.precision import prove_precision
from export.reach import measured_reach
from export.request import EngineRequest
from export.runners import engine_runner, graph_runner
from export.targets import Target
from export.window_gate.build import build_gate
from runtime import cli, known_answer, manifest
from runtime.damage import CLASS_NAMES
from runtime.engine import Engine, load_engine
from runtime.errors import BackendError, ToolkitError
from runtime.files import replacing_folder
from runtime.host import platform_name
from runtime.trust import OWN_BUILD
from train.inference import Runner


def check_target(target: Target) -> None:
    """Are the libraries here that build, or that run the graph to compare it, and can the
    target compile for the GPU? Before anything slow.

    Raises:
        BackendError: what is not installed, and how to install it.
        ConfigError: a compute capability that the compiler does not know.
    """
    if target.name == "openvino":
        openvino_builder.version()
        return
    onnxruntime_builder.library()
    if target.name == "onnxruntime-cuda":
        onnxruntime_builder.cuda_runs_here()
    elif target.on_gpu:
        tensorrt_builder.library(target.name)
        if target.name == "tensorrt-rtx" and target.capability is not None:
            tensorrt_builder.check_capability(target.capability)


def build_engine(request: EngineRequest, material: Material, out: Path) -> manifest.Manifest:
    """Build the engine folder `out`; it appears complete and verified, or not at all.

    INT8 that fails the accuracy gate is built again with ranges by other methods where none
    was asked for, then with its most harmful units left in floating point, until it holds.

    Raises:
        ExportError: the compiler refused the graph or compiled it in another precision, or
            the engine disagrees with PyTorch, or loses more accuracy than it may.
    """
    if request.options.precision == "int8" and request.source.calibration is None:
        request = request.with_ranges(material.artefacts[0])
    gate = open_gate(request, material)
    with replacing_folder(out) as folder, _named(folder, out):
        while True:
            complete, after = _attempt(request, folder, gate, material)
            if after is None:
                return complete
            request = after
            _empty(folder)


@contextlib.contextmanager
def _named(temporary: Path, out: Path) -> Iterator[None]:
    """An error within names the folder that was asked for: the temporary one is gone by then."""
    try:
        yield
    except ToolkitError as error:
        raise type(error)(str(error).replace(str(temporary), str(out))) from error


def _attempt(
    request: EngineRequest, folder: Path, gate: Gate | None, material: Material
) -> tuple[manifest.Manifest, EngineRequest | None]:
    """One engine in `folder`, and what to build instead where it fails the gate."""
    source, options, target = request.source, request.options, request.target
    cli.note(f"exporting {source.checkpoint} at {options.height}x{options.width}")
    model = export_onnx(deploy_graph(source.network, options, source.calibration), options)
    cli.note(f"building {options.precision} for {target.name}")
    names, version = compile_payload(model, folder, request)
    proved = prove_precision(folder, model, request)
    built = _manifest(request, model, version, manifest.payload_of(folder, names))
    built.write(folder)
    status = _status(target)
    with _running(status, folder, model, request) as (what, run):
        parity, comparison = _verified(what, run, request, gate, material)
        broken = comparison and comparison.broken(request.proof.limits)
        reach = None if broken else measured_reach(run, options.height, options.width)
        answer = known_answer.recorded(run, options.height, options.width)
    if gate and comparison and broken:
        return built, gate.rescue(request, comparison)
    verification = {
        "status": status,
        "parity": parity,
        "precision": proved,
        "ranges": ranges_record(request, gate),
        "high_precision": list(options.high_precision),
        "gate": _gate(request, material, comparison) if comparison else None,
        known_answer.KEY: answer,
        "reproducible": REPRODUCIBLE[target.name],
    }
    model_with_reach = replace(built.model, reach_px=reach)
    complete = replace(built, model=model_with_reach, verification=verification)
    if material.gate_tiles:
        runs_here = status == manifest.RAN
        made = build_gate(request, complete, folder, material.gate_tiles, runs_here)
        complete = replace(complete, gate=made)
    complete.write(folder)
    write_card(folder, complete, source.training)
    write_bill(folder, complete)
    return complete, None


def _status(target: Target) -> str:
    """Whether an engine is itself executed and compared here."""
    if target.name == "onnxruntime-cuda":
        runs = onnxruntime_builder.cuda_runs_here()
        return manifest.RAN if runs else manifest.BUILT_NOT_RUN
    return manifest.RAN if target.compiled_for_here else manifest.COMPILED_NOT_RUN


def _loaded(folder: Path, target: Target) -> Engine:
    try:
        return load_engine(folder, trust=OWN_BUILD)
    except BackendError as error:
        if target.name == "onnxruntime-cuda":
            onnxruntime_builder.check_placement(folder, error)
        raise


def _gate(request: EngineRequest, material: Material, comparison: Comparison) -> dict[str, Any]:
    where = {"split": request.proof.split, "disasters": list(material.disasters)}
    return {**where, **comparison.as_dict()}


@contextlib.contextmanager
def _running(
    status: str, folder: Path, model: onnx.ModelProto, request: EngineRequest
) -> Iterator[tuple[str, Runner]]:
    """What is compared, in words, and what runs it: the engine, or its graph."""
    if status == manifest.RAN:
        with _loaded(folder, request.target) as engine:
            yield "the engine", engine_runner(engine)
    else:
        yield "its ONNX graph on ONNX Runtime", graph_runner(model, request.options)


def _verified(
    what: str, run: Runner, request: EngineRequest, gate: Gate | None, material: Material
) -> tuple[dict[str, Any], Comparison | None]:
    """Parity with PyTorch, and the comparison of accuracy where there is a gate."""
    options = request.options
    cli.note(f"comparing with PyTorch on {described(material.pairs)}")
    if options.half:
        check_activations(request.source.deployed, [each.images for each in material.pairs])
    parity = prove(what, run, material.pairs, options, request.floor)
    return {"what": what, **parity}, gate.compare(request, run) if gate else None


def _manifest(
    request: EngineRequest,
    model: onnx.ModelProto,
    version: str,
    payload: tuple[manifest.PayloadFile, ...],
) -> manifest.Manifest:
    """Everything but the verification."""
    source, options, target = request.source, request.options, request.target
    return manifest.Manifest(
        format=manifest.FORMAT,
        model=model_of(source, request.gsd_m or source.training.pixel_m),
        graph=graph_of(model, options.opset),
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


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

"""TensorRT and TensorRT-RTX: the same API under two names, one path for 10.3+, 11 and RTX.

Networks are strongly typed: precision is in the graph, no builder flag changes it.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import onnx

from export.deploy import DeployOptions
from export.plan.origin import Origins
from export.plan.record import FILE_NAME as LAYERS
from export.plan.record import Plan
from export.plan.tensorrt_inspector import from_inspector
from export.plan.tensorrt_layers import Compiled, from_log
from runtime.backends.contract import INPUTS
from runtime.backends.tensorrt_log import process_logger
from runtime.errors import BackendError, ConfigError, ExportError

Flavour = Literal["tensorrt", "tensorrt-rtx"]

PLAN = "engine.plan"


def library(flavour: Flavour) -> ModuleType:
    """The Python module of a flavour; BackendError says what to install."""
    name = flavour.replace("-", "_")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        hint = "on a machine with an NVIDIA driver, " if flavour == "tensorrt" else ""
        raise BackendError(
            f"target {flavour}: the Python module {name} is not installed; "
            f"{hint}pip install {flavour}"
        ) from error


def version(flavour: Flavour) -> str:
    return str(library(flavour).__version__)


def build(
    model: onnx.ModelProto,
    folder: Path,
    options: DeployOptions,
    flavour: Flavour,
    capability: str | None,
) -> list[str]:
    """Compile the graph into `engine.plan`, and write what it became into `plan.json`.

    Returns the payload's file names. Arguments and errors are those of `compile_graph`.
    """
    engine, layers = compile_graph(model, options, flavour, capability)
    (folder / PLAN).write_bytes(engine)
    layers.write(folder / LAYERS)
    return [PLAN, LAYERS]


def compile_graph(
    model: onnx.ModelProto, options: DeployOptions, flavour: Flavour, capability: str | None
) -> tuple[memoryview, Plan]:
    """The serialised engine, and its kernels with the modules they come from.

    Args:
        capability: compute capability to compile for, such as "8.6". TensorRT proper
            compiles for the GPU that is here, whatever is asked.
    Raises:
        ExportError: the parser or the compiler refused the graph, and names what it said;
            or the compiler does not tell what it made of it.
    """
    with process_logger(library(flavour)).heard() as messages:
        return _compile(model, options, flavour, capability, messages)


def _compile(
    model: onnx.ModelProto, options: DeployOptions, flavour: Flavour, capability: str | None,
    messages: list[str],
) -> tuple[memoryview, Plan]:  # fmt: skip
    """messages: what the library says meanwhile."""
    trt = library(flavour)
    logger = process_logger(trt)
    builder = trt.Builder(logger)
    if builder is None:
        raise BackendError(
            f"target {flavour}: the compiler did not start: {logger.error or 'no reason given'}"
        )
    network = builder.create_network(_strongly_typed(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model.SerializeToString()):
        findings = "; ".join(str(parser.get_error(i).desc()) for i in range(parser.num_errors))
        raise ExportError(f"target {flavour}: the parser refused the graph: {findings}")
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if not options.fixed_batch:
        config.add_optimization_profile(_profile(builder, options))
    if flavour == "tensorrt-rtx" and capability is not None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, _sm(capability)), 0)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ExportError(
            f"target {flavour}: the compiler refused the graph: {logger.error or 'no reason given'}"
        )
    engine, batch = memoryview(plan), options.batch[1]
    target = _sm(capability) if capability is not None else "GPU"
    by = Compiled(flavour, str(trt.__version__), target, batch)
    if flavour == "tensorrt-rtx":
        layers = from_log(messages, by)
    else:
        layers = _inspect(trt, logger, engine, by)
    return engine, Origins(model, batch).annotate(layers)


def _inspect(trt: ModuleType, logger: Any, engine: memoryview, by: Compiled) -> Plan:
    """TensorRT proper tells on the GPU: its log has no complete layer information."""
    loaded = trt.Runtime(logger).deserialize_cuda_engine(engine)
    if loaded is None:
        said = logger.error or "no reason given"
        raise ExportError(f"target {by.compiler}: the engine cannot be loaded here: {said}")
    inspector = loaded.create_engine_inspector()
    text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    memory = getattr(loaded, "device_memory_size_v2", None)
    return from_inspector(text, by, memory)


def _strongly_typed(trt: ModuleType) -> int:
    """TensorRT 10 must be told; where the flag is gone, every network is strongly typed."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _profile(builder: Any, options: DeployOptions) -> Any:
    profile = builder.create_optimization_profile()
    shapes = [(n, options.height, options.width, 3) for n in options.batch]
    for name in INPUTS:
        profile.set_shape(name, *shapes)
    return profile


def capabilities() -> list[str]:
    """Compute capabilities that TensorRT-RTX compiles for, such as "8.6"."""
    known = sorted(n for n in dir(library("tensorrt-rtx").ComputeCapability) if n.startswith("SM"))
    return [f"{name[2:-1]}.{name[-1]}" for name in known]


def check_capability(capability: str) -> None:
    """Raises: ConfigError where TensorRT-RTX cannot compile for `capability`."""
    known = capabilities()
    if capability not in known:
        raise ConfigError(
            f"compute capability {capability}: tensorrt-rtx {version('tensorrt-rtx')} compiles for "
            f"{', '.join(known)}; name one with --compute-capability"
        )


def _sm(capability: str) -> str:
    return "SM" + capability.replace(".", "")

"""Show what the compiler made of an engine or a graph."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli
from runtime.errors import ConfigError, ExportError
from runtime.manifest import Manifest

if TYPE_CHECKING:
    import onnx

    from export.plan.record import Plan

TARGETS = ("tensorrt-rtx", "tensorrt", "openvino", "onnxruntime")
CAPABILITY = "8.6"

DYNAMIC_BATCH = (1, 1, 8)
"""Pairs (min, opt, max) that a graph with a dynamic batch is compiled for here."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m export.plan_report", description=__doc__)
    p.add_argument(
        "engine_or_onnx",
        type=Path,
        metavar="ENGINE_OR_ONNX",
        help="engine folder, or deploy graph .onnx",
    )
    p.add_argument(
        "--target",
        metavar="NAME",
        help=f"for a graph: {', '.join(TARGETS)} (default: {TARGETS[0]})",
        default=None,
    )
    p.add_argument(
        "--compute-capability",
        metavar="X.Y",
        help=f"for a graph, with tensorrt-rtx: the GPU to compile for (default: {CAPABILITY})",
    )
    p.add_argument(
        "--gpu",
        metavar="NAME",
        help="estimate this GPU alone, such as 'RTX 4090' (default: one of the plan's kind)",
    )
    p.add_argument("--json", action="store_true", help="print the report as JSON")
    p.add_argument(
        "--out", type=Path, metavar="FILE", help="write the report to a file, do not print it"
    )
    return p


def main(args: argparse.Namespace) -> None:
    from export.plan.roofline import find_gpu

    gpu = find_gpu(args.gpu) if args.gpu else None
    plan = _plan(args.engine_or_onnx, args.target, args.compute_capability)

    from export.plan.report import as_dict, as_text
    from runtime.files import write_bytes

    text = json.dumps(as_dict(plan, gpu), indent=2) + "\n" if args.json else as_text(plan, gpu)
    if args.out:
        write_bytes(args.out, text.encode())
        cli.note(f"{args.out}: {len(plan.kernels)} kernels")
    else:
        print(text, end="")


def _plan(source: Path, target: str | None, capability: str | None) -> Plan:
    if source.is_dir():
        if target or capability:
            raise ConfigError(
                f"{source}: an engine was built for one target; leave --target and "
                "--compute-capability out, or give the .onnx graph"
            )
        return plan_of_engine(source)
    if source.suffix == ".onnx" and source.is_file():
        return plan_of_graph(source, target or TARGETS[0], capability)
    found = "is no such thing" if source.exists() else "does not exist"
    raise ConfigError(f"{source}: {found}; expected an engine folder or an .onnx deploy graph")


def plan_of_engine(folder: Path) -> Plan:
    """What its compiler said when it was built; on a processor, what executes now.

    Raises:
        EngineError: the folder is no engine, or its payload was altered.
        ExportError: built for TensorRT, without layer information.
    """
    manifest = Manifest.read(folder)
    manifest.check_payload(folder)

    from export.plan import onnxruntime_layers, openvino_layers
    from export.plan.origin import Origins
    from export.plan.record import FILE_NAME, Plan

    backend = manifest.target.backend
    if any(entry.name == FILE_NAME for entry in manifest.payload):
        return Plan.read(manifest.payload_path(folder, FILE_NAME))
    if backend == "openvino":
        return openvino_layers.profile(manifest.payload_path(folder, "model.xml"))
    if backend == "onnxruntime":
        graph = manifest.payload_path(folder, "model.onnx")
        return onnxruntime_layers.profile(graph, Origins.read(graph))
    raise ExportError(
        f"{folder}: has no {FILE_NAME}, it was built by an earlier toolkit; "
        f"rebuild with {manifest.rebuild_command(folder)}"
    )


def plan_of_graph(path: Path, target: str, capability: str | None = None) -> Plan:
    """Compile, or profile on this processor, a deploy graph as `export.to_onnx` writes it.

    Raises:
        ConfigError: an unknown target or capability. ExportError: no such graph, or refused.
    """
    if target not in TARGETS:
        raise ConfigError(f"--target {target}: expected {', '.join(TARGETS)}")
    if capability and target != "tensorrt-rtx":
        raise ConfigError(f"--compute-capability {capability}: only tensorrt-rtx compiles for one")

    from export.plan.origin import Origins, read_onnx

    model = read_onnx(path)
    _check_inputs(model, path)
    if target == "openvino":
        from export.plan import openvino_layers

        return openvino_layers.profile(path, Origins(model))
    if target == "onnxruntime":
        from export.plan import onnxruntime_layers

        return onnxruntime_layers.profile(path, Origins(model))

    from export.builders import tensorrt
    from export.deploy import DeployOptions
    from runtime.host import compute_capability

    flavour: tensorrt.Flavour = "tensorrt" if target == "tensorrt" else "tensorrt-rtx"
    tensorrt.library(flavour)
    if flavour == "tensorrt-rtx":
        capability = capability or CAPABILITY
        tensorrt.check_capability(capability)
    else:
        capability = compute_capability()
    batch, height, width, _ = (d.dim_value for d in _input_dims(model))
    options = DeployOptions(height, width, (batch,) * 3 if batch else DYNAMIC_BATCH)
    cli.note(f"compiling {path} with {target}")
    return tensorrt.compile_graph(model, options, flavour, capability)[1]


def _check_inputs(model: onnx.ModelProto, path: Path) -> None:
    from runtime.backends.contract import INPUTS

    names = [value.name for value in model.graph.input]
    if sorted(names) != sorted(INPUTS) or any(
        len(value.type.tensor_type.shape.dim) != 4 for value in model.graph.input
    ):
        raise ExportError(
            f"{path}: its inputs are {', '.join(names) or 'none'}, a deploy graph takes "
            f"{' and '.join(INPUTS)}, [N, H, W, 3]; export one with python -m export.to_onnx"
        )


def _input_dims(model: onnx.ModelProto) -> Any:
    return model.graph.input[0].type.tensor_type.shape.dim


if __name__ == "__main__":
    cli.run(parser(), main)

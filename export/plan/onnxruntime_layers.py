"""What ONNX Runtime made of a graph on this processor, and how long each operation takes."""

from __future__ import annotations

import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from export.plan.origin import Convolution, Origins
from export.plan.record import CPU, ITEM_BYTES, Kernel, Plan, Tensor
from runtime.backends.onnxruntime import load_onnxruntime, settings
from runtime.errors import ExportError, reason

DTYPES = {"float": "fp32", "float16": "fp16", "bfloat16": "bf16", "double": "fp64"}
"""ONNX Runtime's names for datatypes where a plan has another."""

_CONVOLUTION = re.compile(r"Conv(Integer)?$")
_INTEGER = re.compile(r"^QLinear|^QGemm$|Integer$")


def profile(model: Path, origins: Origins, runs: int = 3) -> Plan:
    """Execute `model` as the runtime does, on black images, and read ONNX Runtime's profile.

    Args:
        origins: of the same graph.
        runs: measured, after one that is not; `Kernel.seconds` is their mean.
    Raises:
        ExportError: ONNX Runtime refused the graph.
    """
    with tempfile.TemporaryDirectory() as folder:
        events = _events(model, Path(folder), runs)
    claimed: set[str] = set()
    kernels = [_kernel(occurrences, origins, claimed) for occurrences in events.values()]
    plan = Plan("onnxruntime", load_onnxruntime().__version__, CPU, tuple(kernels), None, None)
    return origins.annotate(plan)


def placements(model: Path, providers: Sequence[Any]) -> list[tuple[str, str]]:
    """Of every operation that is executed for black images, in order, its name with its kind, and
    the provider that executes it.

    providers: as InferenceSession takes them, the preferred first.
    """
    with tempfile.TemporaryDirectory() as folder:
        events = _events(model, Path(folder), 0, providers)
    found = (occurrences[0] for occurrences in events.values())
    return [
        (
            f"{event['name'].removesuffix('_kernel_time')} ({event['args']['op_name']})",
            event["args"]["provider"],
        )
        for event in found
    ]


def _events(
    model: Path, folder: Path, runs: int, providers: Sequence[Any] = ("CPUExecutionProvider",)
) -> dict[str, list[dict[str, Any]]]:
    """Per operation, in the order of execution, its events of every measured run; with no such
    run, of the one before them."""
    options = settings()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    try:
        session = load_onnxruntime().InferenceSession(
            str(model), options, providers=list(providers)
        )
        images = {
            port.name: np.zeros([d if isinstance(d, int) else 1 for d in port.shape], np.uint8)
            for port in session.get_inputs()
        }
        for _ in range(runs + 1):
            session.run(None, images)
        profiled = json.loads(Path(session.end_profiling()).read_text())
    except Exception as error:  # its exceptions share no public base
        raise ExportError(
            f"{model}: ONNX Runtime {load_onnxruntime().__version__} refused it: {reason(error)}"
        ) from error
    events: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in profiled:
        if event["cat"] == "Node" and "op_name" in event["args"]:
            events[event["args"]["node_index"]].append(event)
    return {index: found[1:] if runs else found for index, found in events.items()}


def _kernel(occurrences: list[dict[str, Any]], origins: Origins, claimed: set[str]) -> Kernel:
    event = occurrences[0]
    kind = event["args"]["op_name"]
    inputs, outputs = (
        _tensors(event["args"].get(f"{way}_type_shape", [])) for way in ("input", "output")
    )
    name = event["name"].removesuffix("_kernel_time")
    node, flops = _node(name, origins), None
    constants: tuple[Tensor, ...] = ()
    if _CONVOLUTION.search(kind):
        inputs, constants = inputs[:1], inputs[1:]
        found = _convolution(node, constants, origins, claimed)
        flops = (found.flops or 0) if found else 0
        if found:
            claimed.add(found.node)
            node = found.node
            if found.weight and _INTEGER.search(kind) and not _has_weight(constants):
                # Prepacked, and therefore not in the profile.
                constants = (Tensor("", found.weight, "int8"), *constants)
    operand = inputs or outputs
    precision = operand[0].dtype if operand else "none"
    return Kernel(
        name,
        kind,
        inputs,
        constants,
        outputs,
        (node,) if node else (),
        "int8" if _INTEGER.search(kind) else precision,
        flops,
        sum(e["dur"] for e in occurrences) / len(occurrences) * 1e-6,
        None,
    )


def _node(name: str, origins: Origins) -> str | None:
    """The graph's node behind an optimised one, whose name has something added to it.

    An operation in the blocked layout is named after the tensor it writes.
    """
    bare = re.sub(r"_token_\d+$|_nchwc$|/\w+$", "", name.removeprefix("fused "))
    return origins.node(name) or origins.node(bare)


def _convolution(
    node: str | None, constants: tuple[Tensor, ...], origins: Origins, claimed: set[str]
) -> Convolution | None:
    """The nearest above `node` that no other kernel is and that has this weight."""
    if node is None:
        return None
    weight = next((t.shape for t in constants if len(t.shape) == 4), None)
    for found in origins.before(node):
        size = found.weight
        fits = weight is None or size is None or weight[2:] == size[2:]
        if found.node not in claimed and fits:
            return found
    return None


def _has_weight(constants: tuple[Tensor, ...]) -> bool:
    return any(len(tensor.shape) == 4 for tensor in constants)


def _tensors(entries: list[dict[str, list[int]]]) -> tuple[Tensor, ...]:
    """[{"float": [1, 8, 32, 32]}, ...]; names are not in the profile."""
    tensors = []
    for entry in entries:
        for word, shape in entry.items():
            dtype = DTYPES.get(word, word)
            if dtype not in ITEM_BYTES:
                raise ExportError(f"ONNX Runtime executes in {word}, which no plan here knows")
            tensors.append(Tensor("", tuple(shape), dtype))
    return tuple(tensors)

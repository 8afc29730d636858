"""ONNX Runtime executes the ONNX file itself; its payload is the graph.

Both of its targets are built here, on the processor and on an NVIDIA GPU by its CUDA provider.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import onnx

from export.onnx_graph import save_onnx
from export.plan.graph_layers import from_graph
from export.plan.onnxruntime_layers import placements
from export.plan.record import FILE_NAME as LAYERS
from runtime.backends.onnxruntime import load_onnxruntime
from runtime.backends.onnxruntime_cuda import PROVIDER, has_provider, provider_options
from runtime.backends.onnxruntime_wheels import MEND_CPU, check_alone
from runtime.errors import BackendError, ExportError, reason
from runtime.host import compute_capability

GRAPH = "model.onnx"

OLDEST = (1, 21)
"""From here on its record of what it executed proves an engine's precision."""

SHOWN = 3
"""Nodes that a message names."""


def library() -> ModuleType:
    """The onnxruntime package; BackendError where it is missing or too old to build with."""
    try:
        onnxruntime: ModuleType = load_onnxruntime()
    except ImportError as error:
        raise BackendError(
            f"onnxruntime cannot be imported ({reason(error)}), by which engines are compared; "
            "pip install onnxruntime, or onnxruntime-gpu on a machine with an NVIDIA GPU"
        ) from error
    release = tuple(map(int, re.findall(r"\d+", onnxruntime.__version__)[:2]))
    if release < OLDEST:
        raise BackendError(
            f"onnxruntime {onnxruntime.__version__}: engines are built with "
            f"{'.'.join(map(str, OLDEST))} or newer; {MEND_CPU}"
        )
    return onnxruntime


def version() -> str:
    return str(library().__version__)


def build(model: onnx.ModelProto, folder: Path) -> list[str]:
    """Write the payload; returns its file names."""
    save_onnx(model, folder / GRAPH)
    return [GRAPH]


def build_for_cuda(model: onnx.ModelProto, folder: Path, batch: int) -> list[str]:
    """The same for the CUDA provider, and what it will execute in `plan.json`.

    batch: pairs that the plan counts for a dynamic batch.
    """
    from_graph(model, "onnxruntime-cuda", version(), batch).write(folder / LAYERS)
    return [*build(model, folder), LAYERS]


def cuda_runs_here() -> bool:
    """Is there a GPU, and an onnxruntime whose CUDA provider could use it?

    Raises BackendError where two wheels of onnxruntime overwrote each other.
    """
    if compute_capability() is None or not has_provider(library()):
        return False
    check_alone()
    return True


def check_placement(folder: Path, refusal: BackendError) -> None:
    """An engine was refused on the GPU: ExportError where it has nodes that are not on it.

    The GPU is the first: what the provider has kernels for does not depend on it.
    """
    providers = [(PROVIDER, provider_options(0, captured=False)), "CPUExecutionProvider"]
    try:
        placed = placements(folder / GRAPH, providers)
    except ExportError:  # it was something else
        return
    elsewhere = [node for node, provider in placed if provider != PROVIDER]
    if elsewhere:
        more = f" and {len(elsewhere) - SHOWN} more" if len(elsewhere) > SHOWN else ""
        raise ExportError(
            f"the CUDA provider of onnxruntime {version()} has no kernel for {len(elsewhere)} "
            f"nodes of the graph: {', '.join(elsewhere[:SHOWN])}{more}; expected all of them on "
            "the GPU; update onnxruntime-gpu, or take another target"
        ) from refusal

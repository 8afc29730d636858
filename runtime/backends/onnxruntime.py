"""ONNX Runtime on the processor: payload ``model.onnx``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import host
from runtime.backends import onnxruntime_wheels
from runtime.backends.contract import INPUTS, OUTPUTS, check_finite, check_tensors
from runtime.backends.onnx_tensors import tensors
from runtime.errors import AlteredPayloadError, BackendError, EngineError, reason
from runtime.manifest import Manifest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from runtime.backends import Maps


def load_onnxruntime() -> Any:
    """The onnxruntime package without its telemetry: the one place that imports it.

    From 1.29 it sends what it loads, names and hashes of weights among it, and leaves a folder in
    the user's home. That is begun on import, and only this variable keeps it from beginning.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    if not hasattr(onnxruntime, "InferenceSession"):
        raise ImportError("the package onnxruntime is incomplete, as where a second wheel of it was"
                          f" uninstalled; {onnxruntime_wheels.MEND_CPU}")  # fmt: skip
    return onnxruntime


def settings(threads: int | None = None) -> Any:
    """How every graph is run, as SessionOptions; without `threads`, on every physical core."""
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Set, not left at 0: then ONNX Runtime pins threads to cores, also to forbidden ones.
    options.intra_op_num_threads = threads or host.physical_cores()
    options.inter_op_num_threads = 1
    # Fatal alone: failures arrive as exceptions, and printing them as well would double them.
    options.log_severity_level = 4
    return options


class OnnxRuntimeBackend:
    """A payload is portable between versions, so another version is recorded, not refused."""

    name = "onnxruntime"
    cached_compile = None

    def __init__(self, manifest: Manifest, folder: Path, threads: int | None = None) -> None:
        try:
            onnxruntime = load_onnxruntime()
        except ImportError as error:
            raise BackendError(
                f"{folder} is an ONNX Runtime engine, and onnxruntime cannot be imported "
                f'({reason(error)}); pip install "onnxruntime>=1.16"'
            ) from error
        self.version: str = onnxruntime.__version__
        path = manifest.payload_path(folder, "model.onnx")
        content = manifest.read_payload(folder, path.name)
        try:
            check_graph(content, manifest, path)
            self._session: Any = onnxruntime.InferenceSession(
                content, settings(threads), providers=["CPUExecutionProvider"]
            )
            # It keeps them for providers that fail over to others; the processor's does not.
            self._session._model_bytes = None
        except EngineError:
            raise
        except Exception as error:  # its exceptions share no public base
            raise BackendError(
                f"{path}: ONNX Runtime {self.version} refused it: {reason(error)}; "
                f"rebuild with {manifest.rebuild_command(folder)}"
            ) from error
        check_tensors(
            described(self._session.get_inputs()),
            described(self._session.get_outputs()),
            manifest,
            path,
        )

    def infer(self, pre: NDArray[np.uint8], post: NDArray[np.uint8], maps: Maps) -> None:
        try:
            binding = self._session.io_binding()
            for name, image in zip(INPUTS, (pre, post), strict=True):
                binding.bind_input(name, "cpu", 0, image.dtype, image.shape, image.ctypes.data)
            for name, array in zip(OUTPUTS, maps, strict=True):
                binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
            self._session.run_with_iobinding(binding)
        except Exception as error:
            raise BackendError(
                f"ONNX Runtime {self.version} failed to infer: {reason(error)}"
            ) from error

    def close(self) -> None:
        self._session = None


def check_graph(content: bytes, manifest: Manifest, path: Path) -> None:
    """AlteredPayloadError for a graph that would load a file of which the manifest knows nothing.

    Raises EngineError for weights that are no numbers, ValueError for what is no ONNX model.
    """
    found = list(tensors(content))
    for each in found:
        if each.external:
            raise AlteredPayloadError(
                f"{path}: the data of tensor {each.name!r} lie in another file, which the manifest "
                "does not vouch for; expected a graph with its weights inside; "
                f"rebuild with {manifest.rebuild_command(path.parent)}"
            )
    check_finite(((each.name, each.floats) for each in found), manifest, path)


def described(nodes: Any) -> dict[str, tuple[str, tuple[int | None, ...]]]:
    return {
        node.name: (
            node.type.removeprefix("tensor(").removesuffix(")"),
            tuple(dim if isinstance(dim, int) else None for dim in node.shape),
        )
        for node in nodes
    }

"""OpenVINO on the processor: payload ``model.xml`` and ``model.bin``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import host
from runtime.backends.contract import INPUTS, OUTPUTS, check_tensors
from runtime.backends.openvino_cache import compile_model
from runtime.errors import BackendError, reason
from runtime.manifest import Manifest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from runtime.backends import Maps


def load_openvino() -> Any:
    """The openvino package without its telemetry: the one place that imports it.

    On import, openvino's telemetry sends an event, writes to ~/intel, and fails for a user
    without a home. Without the package it takes a stub of its own, so the package is hidden.
    """
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


def settings(threads: int | None = None) -> dict[str, Any]:
    """How every OpenVINO engine is compiled; without `threads`, for every physical core."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        # Left alone, the plugin computes in bf16 or f16 where the processor can.
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads or host.physical_cores(),
    }


class OpenVinoBackend:
    """One compiled model with one infer request, reused.

    A payload is portable between versions, so another version is recorded, not refused.
    """

    name = "openvino"

    def __init__(self, manifest: Manifest, folder: Path, threads: int | None = None) -> None:
        try:
            openvino = load_openvino()
        except ImportError as error:
            raise BackendError(
                f"{folder} is an OpenVINO engine, and openvino cannot be imported "
                f"({reason(error)}); pip install openvino"
            ) from error
        self._openvino = openvino
        self.version: str = openvino.__version__.split("-")[0]
        path = manifest.payload_path(folder, "model.xml")
        try:
            compiled, self.cached_compile = compile_model(
                openvino, manifest, folder, self.version, settings(threads)
            )
            self._compiled: Any = compiled
            self._request: Any = compiled.create_infer_request()
            inputs, outputs = _described(compiled.inputs), _described(compiled.outputs)
        except RuntimeError as error:
            raise BackendError(
                f"{path}: OpenVINO {self.version} refused it: {reason(error)}; "
                f"rebuild with {manifest.rebuild_command(folder)}"
            ) from error
        check_tensors(inputs, outputs, manifest, path)

    def infer(self, pre: NDArray[np.uint8], post: NDArray[np.uint8], maps: Maps) -> None:
        try:
            for name, array in zip(OUTPUTS, maps, strict=True):
                self._request.set_tensor(name, self._openvino.Tensor(array, shared_memory=True))
            self._request.infer(
                dict(zip(INPUTS, (pre, post), strict=True)), share_inputs=True, share_outputs=True
            )
        except RuntimeError as error:
            raise failed_to_infer(self.version, error) from error

    def close(self) -> None:
        self._request = self._compiled = None


def failed_to_infer(version: str, error: RuntimeError) -> BackendError:
    return BackendError(f"OpenVINO {version} failed to infer: {reason(error)}")


def _described(ports: Any) -> dict[str, tuple[str, tuple[int | None, ...]]]:
    return {
        port.get_any_name(): (
            {"u8": "uint8"}.get(port.element_type.get_type_name(), port.element_type.to_string()),
            tuple(None if dim.is_dynamic else dim.get_length() for dim in port.partial_shape),
        )
        for port in ports
    }

"""The inference libraries, behind one small face.

A backend is opened only after the manifest was checked, and gives its library the bytes of
the payload that were compared with it. The library is imported here and nowhere else, when
an engine needs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from runtime.manifest import BackendName, Manifest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Maps = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]
    """damage, building, confidence."""


Mode = Literal["latency", "throughput", "auto"]
"""How OpenVINO computes many pairs: one after the other, several at once, or what is faster."""

LOADED: dict[BackendName, tuple[str, ...]] = {
    "onnxruntime": ("model.onnx",),
    "onnxruntime-cuda": ("model.onnx",),
    "openvino": ("model.xml", "model.bin"),
    "tensorrt": ("engine.plan",),
    "tensorrt-rtx": ("engine.plan",),
}
"""The payload files that a backend reads, and compares with the manifest as it does."""


class Backend(Protocol):
    @property
    def name(self) -> str:
        """As in the manifest's `target.backend`."""

    @property
    def version(self) -> str:
        """Of the library that runs here; the manifest has the one that built."""

    @property
    def cached_compile(self) -> bool | None:
        """Was something compiled at an earlier start used? None where nothing is kept."""

    def infer(self, pre: NDArray[np.uint8], post: NDArray[np.uint8], maps: Maps) -> None:
        """pre, post: uint8 [N,H,W,3] RGB, C-contiguous; `maps` are overwritten.

        Each map is uint8 [N,H,W], C-contiguous, the caller's. One call at a time.
        """

    def close(self) -> None:
        """Free the engine, and raise nothing. `infer` must not be called after."""


@runtime_checkable
class Pipelined(Backend, Protocol):
    """A backend that has several pairs at work, or copies one while it computes another."""

    def infer_many(
        self, pairs: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8]]]
    ) -> Iterator[Maps]:
        """Maps of their own, in order, of pairs as for `infer`; more pairs are taken first.

        Other calls may come between two of its steps. After `close` a step raises EngineError.
        """


def open_backend(
    manifest: Manifest,
    folder: Path,
    threads: int | None = None,
    device: int | None = None,
    mode: Mode = "latency",
) -> Backend:
    """The backend that the manifest names, with the payload loaded.

    threads: processor threads for one inference; None takes every physical core.
    device: number of a GPU; None takes the first that the engine was built for.
    mode: of an OpenVINO engine's `infer_many`.
    Raises AlteredPayloadError, for whichever file of the folder, BackendError (library
    missing, or it refuses the payload) and TargetMismatchError (built for another device).
    """
    name = manifest.target.backend
    manifest.check_payload(folder, besides=LOADED[name])
    if name == "onnxruntime":
        from runtime.backends.onnxruntime import OnnxRuntimeBackend

        return OnnxRuntimeBackend(manifest, folder, threads)
    if name == "onnxruntime-cuda":
        from runtime.backends.onnxruntime_cuda import OnnxRuntimeCudaBackend

        return OnnxRuntimeCudaBackend(manifest, folder, device)
    if name == "openvino":
        from runtime.backends.openvino import OpenVinoBackend
        from runtime.backends.openvino_streams import OpenVinoStreams, stream_count

        if mode == "latency" or stream_count(threads) == 1:
            return OpenVinoBackend(manifest, folder, threads)
        return OpenVinoStreams(manifest, folder, threads, mode)
    from runtime.backends.tensorrt import open_tensorrt

    return open_tensorrt(manifest, folder, device)

"""ONNX Runtime on an NVIDIA GPU, with its CUDA provider: payload ``model.onnx``.

No GPU is left out, as TensorRT's compilers leave some out. Memory on the device is bound once, for
every number of pairs; a pair is copied in, computed and copied out. **It has never run on a GPU.**
"""

from __future__ import annotations

import contextlib
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from runtime.backends.contract import INPUTS, OUTPUTS, check_tensors
from runtime.backends.gpus import fitting_gpus
from runtime.backends.onnxruntime import check_graph, described, load_onnxruntime, settings
from runtime.backends.onnxruntime_wheels import GPU, MEND_GPU, check_alone
from runtime.errors import BackendError, EngineError, reason
from runtime.manifest import Input, Manifest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from runtime.backends import Maps

PROVIDER, DEVICE = "CUDAExecutionProvider", "cuda"

_FATAL = 4
"""Of its severities: what fails arrives as an exception, printing it as well would double it."""


class OnnxRuntimeCudaBackend:
    """A payload is portable between versions and GPUs, so others are recorded, not refused.

    Everything runs in one thread of its own: a session with a CUDA graph may be run by one alone.
    """

    name = "onnxruntime-cuda"
    cached_compile = None

    def __init__(self, manifest: Manifest, folder: Path, device: int | None = None) -> None:
        gpu = fitting_gpus(manifest, folder, device)[0]
        onnxruntime = load_cuda_provider(gpu)
        self.version: str = onnxruntime.__version__
        path = manifest.payload_path(folder, "model.onnx")
        content = manifest.read_payload(folder, path.name)
        again = f"rebuild with {manifest.rebuild_command(folder)}"
        try:
            check_graph(content, manifest, path)
        except ValueError as error:
            raise BackendError(f"{path}: {reason(error)}; {again}") from error
        self._worker = ThreadPoolExecutor(1, "onnxruntime-cuda")
        try:
            self._device: Device | None = self._worker.submit(
                open_device, onnxruntime, content, manifest.input, gpu
            ).result()
        except Exception as error:  # its exceptions share no public base
            self._worker.shutdown()
            if isinstance(error, EngineError | BackendError):
                raise
            raise BackendError(
                f"{path}: ONNX Runtime {self.version} refused it for GPU {gpu}: {reason(error)}; "
                f"{again}"
            ) from error
        try:
            session = self._device.session
            inputs, outputs = described(session.get_inputs()), described(session.get_outputs())
            check_tensors(inputs, outputs, manifest, path)
        except BaseException:
            self.close()
            raise

    @property
    def has_graphs(self) -> bool:
        """Whether an inference is one launch of a captured graph."""
        return self._device is not None and self._device.captured

    def infer(self, pre: NDArray[np.uint8], post: NDArray[np.uint8], maps: Maps) -> None:
        self._run("infer", lambda device: device.infer((pre, post), maps))

    def compute(self) -> None:
        """Compute once more on what the last `infer` left on the device, and wait; no copies.

        For benchmarks: it is what the network alone takes.
        """
        self._run("compute", lambda device: device.compute())

    def close(self) -> None:
        self._device = None
        self._worker.shutdown(wait=False)

    def _run(self, what: str, work: Any) -> None:
        try:
            self._worker.submit(work, self._device).result()
        except Exception as error:
            raise BackendError(
                f"ONNX Runtime {self.version} failed to {what} on the GPU: {reason(error)}; see "
                "whether nvidia-smi answers, and how much of the GPU's memory is free"
            ) from error


class Bound:
    """Memory on the device for so many pairs, and a session's binding to it."""

    def __init__(self, onnxruntime: Any, session: Any, size: Input, count: int, gpu: int) -> None:
        area = (count, size.height, size.width)
        shapes = dict.fromkeys(INPUTS, (*area, 3)) | dict.fromkeys(OUTPUTS, area)
        self.values = {
            name: onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.uint8, DEVICE, gpu)
            for name, shape in shapes.items()
        }
        self.binding = session.io_binding()
        for name in INPUTS:
            self.values[name].update_inplace(np.zeros(shapes[name], np.uint8))
            self.binding.bind_ortvalue_input(name, self.values[name])
        for name in OUTPUTS:
            self.binding.bind_ortvalue_output(name, self.values[name])


class Device:
    """A session on one GPU. `captured`: its work is one CUDA graph, for one number of pairs."""

    def __init__(
        self, onnxruntime: Any, content: bytes, size: Input, gpu: int, captured: bool
    ) -> None:
        """Runs once, since that chooses kernels, allocates, and captures."""
        self.captured = captured
        self._onnxruntime, self._size, self._gpu = onnxruntime, size, gpu
        self._bound: dict[int, Bound] = {}
        self.session: Any = open_session(onnxruntime, content, gpu, captured)
        self._last = self._bind(size.batch.opt)
        self.compute()

    def infer(self, images: tuple[NDArray[np.uint8], NDArray[np.uint8]], maps: Maps) -> None:
        self._last = self._bind(len(images[0]))
        values = self._last.values
        for name, image in zip(INPUTS, images, strict=True):
            values[name].update_inplace(image)
        self.compute()
        for name, array in zip(OUTPUTS, maps, strict=True):
            np.copyto(array, values[name].numpy())

    def compute(self) -> None:
        binding = self._last.binding
        binding.synchronize_inputs()
        self.session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    def _bind(self, count: int) -> Bound:
        if count not in self._bound:
            self._bound[count] = Bound(
                self._onnxruntime, self.session, self._size, count, self._gpu
            )
        return self._bound[count]


def open_device(onnxruntime: Any, content: bytes, size: Input, gpu: int) -> Device:
    """With a CUDA graph where the number of pairs is fixed and the provider captures one."""
    if size.batch.min == size.batch.max:
        # What it was that failed is told by the second try: it fails, too, or it was the graph.
        with contextlib.suppress(Exception):
            return Device(onnxruntime, content, size, gpu, captured=True)
    return Device(onnxruntime, content, size, gpu, captured=False)


def open_session(onnxruntime: Any, content: bytes, gpu: int, captured: bool) -> Any:
    """A session of which every node is on the GPU.

    Raises BackendError where one would be on the processor: ONNX Runtime alone says nothing of it,
    and the engine would be many times slower than its target promises.
    """
    options = settings(threads=1)
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    session = onnxruntime.InferenceSession(
        content, options, providers=[(PROVIDER, provider_options(gpu, captured))], enable_fallback=0
    )
    session.disable_fallback()
    session._model_bytes = None  # it keeps them for a fallback
    if session.get_providers()[:1] != [PROVIDER]:
        raise BackendError(
            f"ONNX Runtime {onnxruntime.__version__} fell back from {PROVIDER} to "
            f"{', '.join(session.get_providers())}; expected GPU {gpu}; {MEND_GPU}"
        )
    return session


def provider_options(gpu: int, captured: bool) -> dict[str, str]:
    """FP32 stays FP32: from Ampere on the provider's default is TF32, with 10 bits of mantissa."""
    return {
        "device_id": str(gpu),
        "use_tf32": "0",
        "enable_cuda_graph": str(int(captured)),
    }


def load_cuda_provider(gpu: int) -> Any:
    """The onnxruntime package, with the CUDA provider's libraries loaded.

    BackendError where the package is missing, is of two wheels at once, or has no CUDA provider,
    and where the provider's own libraries (CUDA, cuDNN) are missing, or cannot use that GPU.
    """
    try:
        onnxruntime = load_onnxruntime()
    except ImportError as error:
        raise BackendError(
            f'onnxruntime cannot be imported ({reason(error)}); pip install "{GPU}"'
        ) from error
    check_alone()
    if not has_provider(onnxruntime):
        raise BackendError(
            f"onnxruntime {onnxruntime.__version__} has no {PROVIDER} (it has "
            f"{', '.join(onnxruntime.get_available_providers())}); {MEND_GPU}"
        )
    onnxruntime.set_default_logger_severity(_FATAL)
    said = io.StringIO()
    if hasattr(onnxruntime, "preload_dlls"):  # NVIDIA's libraries in site-packages
        with contextlib.redirect_stdout(said):
            onnxruntime.preload_dlls()
    try:
        onnxruntime.OrtValue.ortvalue_from_shape_and_type([1], np.uint8, DEVICE, gpu)
    except Exception as error:  # its exceptions share no public base
        missing = (line for line in said.getvalue().splitlines() if line.startswith("Failed"))
        why = next(missing, reason(error).rpartition(") ")[2])  # without the place in its source
        raise BackendError(
            f"the {PROVIDER} of onnxruntime {onnxruntime.__version__} cannot be loaded ({why}); it "
            f'needs NVIDIA\'s driver, and the CUDA and cuDNN that come with: pip install "{GPU}"'
        ) from error
    return onnxruntime


def has_provider(onnxruntime: Any) -> bool:
    """Was this onnxruntime built with the CUDA provider? Whether it can be loaded is not asked."""
    return PROVIDER in onnxruntime.get_available_providers()

"""A device by NVIDIA's cuda-python."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from runtime.cuda.driver import advice
from runtime.errors import BackendError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class CudaPythonDevice:
    """Streams, events and graphs are the driver's handles, as numbers."""

    can_capture = True

    def __init__(self, number: int = 0) -> None:
        """Raises ImportError where cuda-python is not installed."""
        self._driver, version = _functions()
        self.provider = f"cuda-python {version}"
        self._frees: list[tuple[str, int]] = []
        self._call("cuInit", 0)
        self._device = self._call("cuDeviceGet", number)
        self._context = self._call("cuDevicePrimaryCtxRetain", self._device)

    @contextmanager
    def current(self) -> Iterator[None]:
        self._call("cuCtxPushCurrent", self._context)
        try:
            yield
        except BaseException:
            with suppress(BackendError):  # what failed first is what is told
                self._call("cuCtxPopCurrent")
            raise
        self._call("cuCtxPopCurrent")

    def allocate(self, size: int) -> int:
        return self._owned("cuMemFree", self._call("cuMemAlloc", size, what=f"{size} bytes"))

    def pinned(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        import numpy as np

        size = math.prod(shape)
        made = self._call("cuMemHostAlloc", size, 0, what=f"{size} pinned bytes")
        memory = (ctypes.c_uint8 * size).from_address(self._owned("cuMemFreeHost", made))
        return np.ctypeslib.as_array(memory).reshape(shape)

    def stream(self) -> int:
        # Without NON_BLOCKING, other libraries' work on the default stream would wait for it.
        flags = self._driver.CUstream_flags.CU_STREAM_NON_BLOCKING
        return self._owned("cuStreamDestroy", self._call("cuStreamCreate", flags))

    def event(self) -> int:
        flags = self._driver.CUevent_flags.CU_EVENT_DISABLE_TIMING
        return self._owned("cuEventDestroy", self._call("cuEventCreate", flags))

    def record(self, event: int, stream: int) -> None:
        self._call("cuEventRecord", event, stream)

    def wait(self, stream: int, event: int) -> None:
        self._call("cuStreamWaitEvent", stream, event, 0)

    def synchronize(self, event: int) -> None:
        self._call("cuEventSynchronize", event)

    def drain(self, stream: int) -> None:
        self._call("cuStreamSynchronize", stream)

    def upload(self, source: NDArray[np.uint8], address: int, stream: int) -> None:
        self._call("cuMemcpyHtoDAsync", address, source.ctypes.data, source.nbytes, stream)

    def download(self, address: int, target: NDArray[np.uint8], stream: int) -> None:
        self._call("cuMemcpyDtoHAsync", target.ctypes.data, address, target.nbytes, stream)

    def capture(self, work: Callable[[], None], stream: int) -> int:
        # THREAD_LOCAL: what other threads do to the GPU meanwhile is none of our business.
        mode = self._driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._call("cuStreamBeginCapture", stream, mode)
        try:
            work()
        except BaseException:
            # The stream must leave capture mode; of what it captured nothing is wanted.
            with suppress(BackendError):
                self._call("cuGraphDestroy", self._call("cuStreamEndCapture", stream))
            raise
        graph = self._call("cuStreamEndCapture", stream)
        try:
            made = self._call("cuGraphInstantiate", graph, 0)
        finally:
            with suppress(BackendError):  # a template that nothing uses any more
                self._call("cuGraphDestroy", graph)
        return self._owned("cuGraphExecDestroy", made)

    def launch(self, graph: int, stream: int) -> None:
        self._call("cuGraphLaunch", graph, stream)

    def discard(self, graph: int) -> None:
        self._frees.remove(("cuGraphExecDestroy", graph))
        self._call("cuGraphExecDestroy", graph)

    def close(self) -> None:
        # Each step is taken, whatever the others do; the last that was made is freed first.
        with suppress(BackendError), ExitStack() as steps:
            steps.callback(self._call, "cuDevicePrimaryCtxRelease", self._device)
            steps.enter_context(self.current())
            for name, made in self._frees:
                steps.callback(self._call, name, made)

    def _owned(self, free: str, made: Any) -> int:
        self._frees.append((free, int(made)))
        return int(made)

    def _call(self, name: str, *arguments: Any, what: str = "") -> Any:
        """The results of a driver function, without its status."""
        try:
            status, *results = getattr(self._driver, name)(*arguments)
        except RuntimeError as error:  # a function that the installed driver is too old for
            raise BackendError(
                f"{self.provider}: {name} is not in the installed NVIDIA driver ({error}); "
                "update the driver"
            ) from error
        if status != self._driver.CUresult.CUDA_SUCCESS:
            raise BackendError(_message(name, status.name, what))
        return results[0] if len(results) == 1 else None


def _functions() -> tuple[Any, str]:
    """The driver's functions, and cuda-python's version: 12.6.0 has them at another place."""
    try:
        import cuda.bindings
        from cuda.bindings import driver
    except ImportError as error:
        try:
            import cuda
            from cuda import cuda as older
        except ImportError:
            raise error from None
        return older, cuda.__version__
    return driver, cuda.bindings.__version__


def _message(name: str, status: str, what: str) -> str:
    asked = f" for {what}" if what else ""
    todo = advice(status == "CUDA_ERROR_OUT_OF_MEMORY")
    return f"CUDA: {name}{asked} failed with {status}; {todo}"

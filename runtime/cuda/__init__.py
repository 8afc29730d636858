"""CUDA, in the few words that inference needs. Nothing else in the project knows CUDA.

Two Python packages can say them: cuda-python, which also captures graphs, and pycuda.
Neither is imported before a device is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from runtime.cuda.driver import compute_capability
from runtime.errors import BackendError, reason

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Device", "compute_capability", "open_device"]

Stream = int
"""A CUstream, as other libraries take it."""
Event = int
Graph = int
"""What the device calls them; only its own methods take them."""


class Device(Protocol):
    """One GPU. Everything it hands out it owns and names by a number, until `close`.

    Every method but `current` must be called inside `current`. What fails raises BackendError.
    """

    @property
    def provider(self) -> str:
        """The Python package and its version."""

    @property
    def can_capture(self) -> bool:
        """Whether `capture` and `launch` may be called."""

    def current(self) -> AbstractContextManager[None]:
        """Make the device's primary context, which TensorRT uses, this thread's."""

    def allocate(self, size: int) -> int:
        """Address of `size` bytes of device memory."""

    def pinned(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Page-locked memory, which copies need to run beside other work."""

    def stream(self) -> Stream:
        """Work put on one stream runs in order; two streams wait for nothing in each other."""

    def event(self) -> Event:
        """A mark that `record` puts on a stream and others wait for."""

    def record(self, event: Event, stream: Stream) -> None:
        """Mark the work that is on the stream by now."""

    def wait(self, stream: Stream, event: Event) -> None:
        """What is put on the stream from now on runs after the marked work."""

    def synchronize(self, event: Event) -> None:
        """Return when the marked work is done; at once where nothing was marked."""

    def drain(self, stream: Stream) -> None:
        """Return when the stream is empty."""

    def upload(self, source: NDArray[np.uint8], address: int, stream: Stream) -> None:
        """Put a copy from pinned memory on the stream."""

    def download(self, address: int, target: NDArray[np.uint8], stream: Stream) -> None:
        """Put a copy to pinned memory on the stream."""

    def capture(self, work: Callable[[], None], stream: Stream) -> Graph:
        """What `work` puts on the stream, as one launch. It does not run now.

        `work` must have run once before, with the same addresses.
        """

    def launch(self, graph: Graph, stream: Stream) -> None:
        """Put the captured work on the stream."""

    def discard(self, graph: Graph) -> None:
        """Free a graph: before the library whose work it holds frees what that work uses."""

    def close(self) -> None:
        """Free everything, also what an unfinished caller left, and raise nothing.

        The streams must be empty. After an error that stays (an illegal address, a GPU that fell
        off the bus) nothing can be freed one by one: then the context's end frees it.
        """


def open_device(number: int = 0) -> Device:
    """A GPU of `driver.gpus`, by cuda-python where it can be imported, else by pycuda."""
    from runtime.cuda.with_cuda_python import CudaPythonDevice
    from runtime.cuda.with_pycuda import PycudaDevice

    try:
        return CudaPythonDevice(number)
    except ImportError as error:
        first = error
    try:
        return PycudaDevice(number)
    except ImportError as error:
        raise BackendError(
            f"neither cuda-python ({reason(first)}) nor pycuda ({reason(error)}) can be imported; "
            'pip install "cuda-python>=12.6"'
        ) from error

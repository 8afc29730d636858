"""A device by pycuda, which has no graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from runtime.cuda.driver import advice, pop_current
from runtime.errors import BackendError, reason

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


NON_BLOCKING = 1  # CUstream_flags in cuda.h, which pycuda does not name


class PycudaDevice:
    """pycuda frees by reference count, in a context: so its objects are kept here alone."""

    can_capture = False

    def __init__(self, number: int = 0) -> None:
        """Raises ImportError where pycuda is not installed."""
        import pycuda
        import pycuda.driver as driver

        self.provider = f"pycuda {pycuda.VERSION_TEXT}"
        self._driver: Any = driver
        self._memory: dict[int, Any] = {}
        self._pinned: list[Any] = []
        self._streams: dict[int, Any] = {}
        self._events: list[Any] = []
        with self._errors("opening the GPU"):
            driver.init()
            self._context: Any = driver.Device(number).retain_primary_context()

    @contextmanager
    def current(self) -> Iterator[None]:
        self._enter()
        try:
            yield
        except BaseException:
            with suppress(BackendError):  # what failed first is what is told
                self._leave()
            raise
        self._leave()

    def allocate(self, size: int) -> int:
        with self._errors(f"allocating {size} bytes"):
            memory = self._driver.mem_alloc(size)
        self._memory[int(memory)] = memory
        return int(memory)

    def pinned(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        with self._errors(f"allocating {shape} pinned bytes"):
            array: NDArray[np.uint8] = self._driver.pagelocked_empty(shape, "uint8")
        self._pinned.append(array.base)
        return array

    def stream(self) -> int:
        # Without NON_BLOCKING, other libraries' work on the default stream would wait for it.
        with self._errors("making a stream"):
            stream = self._driver.Stream(NON_BLOCKING)
        self._streams[int(stream.handle)] = stream
        return int(stream.handle)

    def event(self) -> int:
        with self._errors("making an event"):
            self._events.append(self._driver.Event(self._driver.event_flags.DISABLE_TIMING))
        return len(self._events) - 1

    def record(self, event: int, stream: int) -> None:
        with self._errors("recording an event"):
            self._events[event].record(self._streams[stream])

    def wait(self, stream: int, event: int) -> None:
        with self._errors("waiting for an event"):
            self._streams[stream].wait_for_event(self._events[event])

    def synchronize(self, event: int) -> None:
        with self._errors("waiting for the GPU"):
            self._events[event].synchronize()

    def drain(self, stream: int) -> None:
        with self._errors("waiting for the GPU"):
            self._streams[stream].synchronize()

    def upload(self, source: NDArray[np.uint8], address: int, stream: int) -> None:
        with self._errors("copying to the GPU"):
            self._driver.memcpy_htod_async(address, source, self._streams[stream])

    def download(self, address: int, target: NDArray[np.uint8], stream: int) -> None:
        with self._errors("copying from the GPU"):
            self._driver.memcpy_dtoh_async(target, address, self._streams[stream])

    def capture(self, work: Callable[[], None], stream: int) -> int:
        raise BackendError("pycuda has no graphs; pip install cuda-python for them")

    def launch(self, graph: int, stream: int) -> None:
        raise BackendError("pycuda has no graphs; pip install cuda-python for them")

    def discard(self, graph: int) -> None:
        raise BackendError("pycuda has no graphs; pip install cuda-python for them")

    def close(self) -> None:
        # Each step is taken, whatever the others do: the last of these lines first.
        with suppress(BackendError, self._driver.Error), ExitStack() as steps:
            # Where the context could not be entered, these are left until it is gone: only then
            # does pycuda not try to free them in it, which would end the process.
            steps.callback(self._forget)
            steps.callback(self._context.detach)
            self._enter()
            # pycuda takes a primary context's release for its end, which would pop it; and
            # releases only one that is on its own stack, whatever the thread that retained it.
            steps.callback(pop_current)
            steps.callback(self._forget)
            for memory in (*self._pinned, *self._memory.values()):
                steps.callback(memory.free)

    def _enter(self) -> None:
        with self._errors("entering the GPU's context"):
            self._context.push()

    def _leave(self) -> None:
        with self._errors("leaving the GPU's context"):
            self._driver.Context.pop()

    def _forget(self) -> None:
        """Events, streams and memory that were not freed yet are, by their last reference."""
        for each in (self._events, self._streams, self._memory, self._pinned):
            each.clear()

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except self._driver.Error as error:
            todo = advice(isinstance(error, self._driver.MemoryError))
            raise BackendError(f"CUDA: {what} failed: {reason(error)}; {todo}") from error

"""TensorRT from 10.3, its lean and dispatch runtimes, and TensorRT-RTX: ``engine.plan``.

Two sets of buffers take turns, and three streams work on them: while one pair is computed,
the next is copied in and the last is copied out. Computation itself runs one after another:
an execution context has its activations once.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runtime.backends.contract import INPUTS, OUTPUTS
from runtime.backends.gpus import fitting_gpus
from runtime.backends.tensorrt_plan import Plan, library
from runtime.cuda import Device, Graph, Stream, open_device
from runtime.errors import BackendError, EngineError, reason
from runtime.manifest import Input, Manifest

if TYPE_CHECKING:
    from runtime.backends import Backend, Maps


def open_tensorrt(manifest: Manifest, folder: Path, number: int | None = None) -> Backend:
    """On the GPU of this number; None takes the first that the plan was built for.

    Raises TargetMismatchError for another device or version, BackendError for what is missing.
    All of that is found out before the plan is deserialised.
    """
    path = manifest.payload_path(folder, "engine.plan")
    gpu = fitting_gpus(manifest, folder, number)[0]
    return TensorRtBackend(manifest, path, library(manifest, folder), open_device(gpu))


class Buffers:
    """One pair's (or batch's) memory, for the largest batch: pinned on the host, and the device."""

    def __init__(self, device: Device, size: Input) -> None:
        area = (size.batch.max, size.height, size.width)
        shapes = dict.fromkeys(INPUTS, (*area, 3)) | dict.fromkeys(OUTPUTS, area)
        self.host = {name: device.pinned(shape) for name, shape in shapes.items()}
        self.address = {name: device.allocate(self.host[name].nbytes) for name in shapes}
        self.uploaded, self.computed, self.downloaded = (device.event() for _ in range(3))
        self.count = size.batch.max
        self.graph: Graph | None = None


class TensorRtBackend:
    """`infer` one at a time; `infer_many` overlaps.

    Both may be called from any thread, also while others read `infer_many`. A reader that
    waits to be asked for its next maps may have work under way in a set of buffers, and
    leaves one set at least for whoever comes: nobody waits for a reader.
    """

    def __init__(self, manifest: Manifest, path: Path, trt: Any, device: Device) -> None:
        """Takes the device over, and closes it where this fails."""
        self.name = manifest.target.backend
        self.version: str = trt.__version__
        self._size = manifest.input
        self._device = device
        self._plan: Plan | None = None
        self._streams: list[Stream] = []
        self._buffers: list[Buffers] = []
        self._free: deque[Buffers] = deque()
        self._abandoned: deque[Buffers] = deque()
        self._lock = threading.Lock()
        self._closed = False
        self._folder = path.parent
        self._broken = ""
        try:
            with device.current():
                self._plan = Plan(manifest, path, trt)
                self._streams = [device.stream() for _ in range(3)]
                self._buffers = [Buffers(device, manifest.input) for _ in range(2)]
                for buffers in self._buffers:
                    self._prepare(buffers)
                self._free.extend(self._buffers)
                self._plan.save_cache()
        except BaseException:
            self.close()
            raise

    @property
    def has_graphs(self) -> bool:
        """Whether an inference is one launch of a captured graph."""
        return all(buffers.graph is not None for buffers in self._buffers)

    @property
    def cached_compile(self) -> bool | None:
        """Whether kernels of an earlier start were used; None where none are kept."""
        return self._plan.cached_compile if self._plan else None

    def infer(self, pre: NDArray[np.uint8], post: NDArray[np.uint8], maps: Maps) -> None:
        with self._serving():
            self._submit(self._free[0], pre, post)
            self._collect(self._free[0], maps)

    def infer_many(
        self, pairs: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8]]]
    ) -> Iterator[Maps]:
        """The maps of each pair (or batch), in order, while the next is on its way.

        pairs: each as for `infer`. One more is taken before the maps of one are given, which
        have memory of their own: they stay when the engine is closed. EngineError once it is.
        """
        busy = deque[Buffers]()
        try:
            for pre, post in pairs:
                with self._serving():
                    self._submit(self._free[0], pre, post)
                    busy.append(self._free.popleft())
                    if self._free:
                        continue
                    maps = self._finish(busy)
                yield maps
            while busy:
                with self._serving():
                    maps = self._finish(busy)
                yield maps
        finally:
            # Perhaps the garbage collector's doing, in any thread and at any time: so nothing
            # is waited for here.
            self._abandoned.extend(busy)

    def compute(self) -> None:
        """Compute once more on what the last `infer` left on the device, and wait; no copies.

        For benchmarks: it is what the network alone takes.
        """
        with self._serving(), self._device.current():
            self._compute(self._free[0])
            self._device.drain(self._streams[1])

    def close(self) -> None:
        """Free everything, and raise nothing: after a failure as much as can be freed."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            # Each step is taken, whatever the others do: the last of these lines first.
            with suppress(Exception), ExitStack() as steps:
                steps.callback(self._device.close)
                if self._plan is not None:  # also where its context cannot be entered
                    steps.callback(self._plan.close)
                steps.enter_context(self._device.current())
                if self._plan is not None:
                    steps.callback(self._plan.close)
                    steps.callback(self._plan.save_cache)
                for buffers in self._buffers:
                    if buffers.graph is not None:
                        steps.callback(self._device.discard, buffers.graph)
                steps.callback(self._drain)

    def _drain(self) -> None:
        """Wait for every stream, also where one of them fails."""
        with self._device.current(), ExitStack() as steps:
            for stream in self._streams:
                steps.callback(self._device.drain, stream)

    def _prepare(self, buffers: Buffers) -> None:
        """Run once, since that allocates and compiles; then capture, where shapes are fixed."""
        device, batch = self._device, self._size.batch
        compute = self._streams[1]
        buffers.count = batch.opt
        self._enqueue(buffers)
        device.drain(compute)
        assert self._plan is not None
        if batch.min == batch.max and device.can_capture and not self._plan.captures_itself:
            # Some plans cannot be captured (they wait for the host); they run as they are.
            with suppress(BackendError):
                buffers.graph = device.capture(lambda: self._enqueue(buffers), compute)
            device.drain(compute)  # fails where it was not the plan that could not

    def _enqueue(self, buffers: Buffers) -> None:
        assert self._plan is not None
        self._plan.enqueue(buffers.address, buffers.count, self._streams[1])

    def _compute(self, buffers: Buffers) -> None:
        if buffers.graph is None:
            self._enqueue(buffers)
        else:
            self._device.launch(buffers.graph, self._streams[1])

    def _submit(self, buffers: Buffers, pre: NDArray[np.uint8], post: NDArray[np.uint8]) -> None:
        """Put all work for one pair on the streams; what they did before must be collected."""
        device, count = self._device, len(pre)
        up, compute, down = self._streams
        buffers.count = count
        for name, image in zip(INPUTS, (pre, post), strict=True):
            np.copyto(buffers.host[name][:count], image)
        with device.current():
            for name in INPUTS:
                device.upload(buffers.host[name][:count], buffers.address[name], up)
            device.record(buffers.uploaded, up)
            device.wait(compute, buffers.uploaded)
            self._compute(buffers)
            device.record(buffers.computed, compute)
            device.wait(down, buffers.computed)
            for name in OUTPUTS:
                device.download(buffers.address[name], buffers.host[name][:count], down)
            device.record(buffers.downloaded, down)

    def _collect(self, buffers: Buffers, maps: Maps) -> None:
        with self._device.current():
            self._device.synchronize(buffers.downloaded)
        for name, target in zip(OUTPUTS, maps, strict=True):
            np.copyto(target, buffers.host[name][: buffers.count])

    def _finish(self, busy: deque[Buffers]) -> Maps:
        """The maps of the first that is under way, whose buffers are free again."""
        maps = self._new_maps(busy[0])
        self._free.append(busy.popleft())
        return maps

    def _new_maps(self, buffers: Buffers) -> Maps:
        shape = (buffers.count, self._size.height, self._size.width)
        maps = np.empty(shape, np.uint8), np.empty(shape, np.uint8), np.empty(shape, np.uint8)
        self._collect(buffers, maps)
        return maps

    @contextmanager
    def _serving(self) -> Iterator[None]:
        """One step of one caller. When it fails, nothing stays under way in any buffers."""
        with self._lock:
            if self._closed:
                raise EngineError(f"{self._folder}: the engine is closed; load it again to predict")
            if self._broken:
                raise BackendError(
                    f"{self._folder}: the GPU failed before ({self._broken}); "
                    "close the engine and load it again"
                )
            try:
                if self._abandoned:
                    self._drain()
                    while self._abandoned:
                        self._free.append(self._abandoned.popleft())
                yield
            except BaseException:
                try:
                    self._drain()
                except BackendError as error:
                    self._broken = reason(error)
                raise

"""TensorRT from 10.3, its lean and dispatch runtimes, and TensorRT-RTX: ``engine.plan``.

Two sets of buffers take turns, and three streams work on them: while one pair is computed,
the next is copied in and the last is copied out. Computation itself runs one after another:
an execution context has its activations once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runtime.backends.contract import INPUTS, OUTPUTS
from runtime.backends.tensorrt_plan import Plan, check_machine, library
from runtime.cuda import Device, Graph, Stream, open_device
from runtime.errors import BackendError
from runtime.manifest import Input, Manifest

if TYPE_CHECKING:
    from runtime.backends import Backend, Maps


def open_tensorrt(manifest: Manifest, folder: Path) -> Backend:
    """Raises TargetMismatchError for another device or version, BackendError for what is missing.

    All of that is found out before the plan is deserialised.
    """
    path = manifest.payload_path(folder, "engine.plan")
    check_machine(manifest, folder)
    return TensorRtBackend(manifest, path, library(manifest, folder), open_device())


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
    """`infer` one at a time; `infer_many` overlaps. Either may be called from any thread."""

    def __init__(self, manifest: Manifest, path: Path, trt: Any, device: Device) -> None:
        """Takes the device over, and closes it where this fails."""
        self.name = manifest.target.backend
        self.version: str = trt.__version__
        self._size = manifest.input
        self._device = device
        self._plan: Plan | None = None
        self._streams: list[Stream] = []
        self._buffers: list[Buffers] = []
        self._reading = False
        try:
            with device.current():
                self._plan = Plan(manifest, path, trt)
                self._streams = [device.stream() for _ in range(3)]
                self._buffers = [Buffers(device, manifest.input) for _ in range(2)]
                for buffers in self._buffers:
                    self._prepare(buffers)
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
        with self._reserved():
            self._submit(self._buffers[0], pre, post)
            self._collect(self._buffers[0], maps)

    def infer_many(
        self, pairs: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8]]]
    ) -> Iterator[Maps]:
        """The maps of each pair (or batch), in order, while the next is on its way.

        pairs: each as for `infer`. One more is taken before the maps of one are given, which
        have memory of their own. Exhaust or close the iterator before the next call.
        """
        free, busy = deque(self._buffers), deque[Buffers]()
        with self._reserved():
            for pre, post in pairs:
                self._submit(free[0], pre, post)
                busy.append(free.popleft())
                if not free:
                    free.append(busy.popleft())
                    yield self._new_maps(free[0])
            while busy:
                yield self._new_maps(busy.popleft())

    def compute(self) -> None:
        """Compute once more on what the last `infer` left on the device, and wait; no copies.

        For benchmarks: it is what the network alone takes.
        """
        with self._reserved(), self._device.current():
            self._compute(self._buffers[0])
            self._device.drain(self._streams[1])

    def close(self) -> None:
        self._drain()
        with self._device.current():
            for buffers in self._buffers:
                if buffers.graph is not None:
                    self._device.discard(buffers.graph)
            if self._plan is not None:
                self._plan.save_cache()
                self._plan.close()
        self._device.close()

    def _drain(self) -> None:
        with self._device.current():
            for stream in self._streams:
                self._device.drain(stream)

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

    def _new_maps(self, buffers: Buffers) -> Maps:
        shape = (buffers.count, self._size.height, self._size.width)
        maps = np.empty(shape, np.uint8), np.empty(shape, np.uint8), np.empty(shape, np.uint8)
        self._collect(buffers, maps)
        return maps

    @contextmanager
    def _reserved(self) -> Iterator[None]:
        """The buffers belong to one call; when it fails, nothing stays under way in them."""
        if self._reading:
            raise BackendError(
                f"{self.name}: infer was called while infer_many is being read; "
                "exhaust or close its iterator first"
            )
        self._reading = True
        try:
            yield
        except BaseException:
            self._drain()
            raise
        finally:
            self._reading = False

"""OpenVINO with several pairs at once, where that is faster than one after the other.

A stream computes a pair with a part of the threads. It depends on the network, its size and the
processor whether streams are faster, so it is measured: with the first pairs of a scene, whose
maps are used.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from runtime import host
from runtime.backends import Mode, openvino_cache
from runtime.backends.contract import INPUTS, OUTPUTS
from runtime.backends.openvino import OpenVinoBackend, failed_to_infer, settings
from runtime.errors import BackendError, EngineError, ToolkitError, reason
from runtime.manifest import Manifest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from runtime.backends import Maps

    Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]

MOST_STREAMS: Final = 8
"""Each holds what a network computes of its own pair, which may be a gigabyte."""

TURNS: Final = 7
"""Of each way, in a measurement. The first is not counted; of the others the fastest is."""

GAIN: Final = 1.03
"""Streams are taken where they are faster by this: less is lost in what a processor does besides,
and they take memory."""


def stream_count(threads: int | None) -> int:
    return min(threads or host.physical_cores(), MOST_STREAMS)


def stream_settings(threads: int | None) -> dict[str, Any]:
    several = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": stream_count(threads)}
    return {**settings(threads), **several}


class OpenVinoStreams(OpenVinoBackend):
    """`infer` is one pair with all threads; `infer_many` is whatever is faster for many.

    A turn is two pairs for each stream. Fewer, as of an image of a few windows, or at the end, go
    one after the other. At most a turn of pairs and of maps is held, and one network's
    intermediate results for each stream, besides those of `infer`.
    """

    def __init__(
        self, manifest: Manifest, folder: Path, threads: int | None, mode: Mode = "auto"
    ) -> None:
        self._before = _resident()
        super().__init__(manifest, folder, threads)
        self._manifest, self._folder, self._threads, self._mode = manifest, folder, threads, mode
        self._several: Any = None
        self._streams = stream_count(threads)
        self._seconds: dict[bool, list[float]] = {False: [], True: []}
        self._used = mode == "throughput"  # or what an inference takes is to be seen first
        self._faster = True if mode == "throughput" else openvino_cache.kept_choice(*self._key())

    def infer_many(self, pairs: Iterable[Pair]) -> Generator[Maps, None, None]:
        """The maps of each pair (or batch), in order; other calls may come between.

        EngineError once the engine is closed.
        """
        pairs = iter(pairs)
        size = 2 * self._streams
        while turn := list(islice(pairs, 1 if self._faster is False else size)):
            if self._faster is False:
                yield from self._alone(chain(turn, pairs))
            elif len(turn) < size or not self._used:
                yield from self._alone(turn)
                self._used = True
            elif not self._opened():
                yield from self._alone(turn)
            elif self._faster:
                yield from self._at_once(chain(turn, pairs))
            else:
                yield from self._measured(turn)

    def close(self) -> None:
        super().close()
        self._several = None

    def _alone(self, pairs: Iterable[Pair]) -> Generator[Maps, None, None]:
        return self._overlapped(self._compiled, 1, pairs)

    def _at_once(self, pairs: Iterable[Pair]) -> Generator[Maps, None, None]:
        """One more waits, for the stream that is ready first."""
        return self._overlapped(self._several, self._streams + 1, pairs)

    def _overlapped(
        self, compiled: Any, requests: int, pairs: Iterable[Pair]
    ) -> Generator[Maps, None, None]:
        busy: deque[_Work] = deque()
        free: list[Any] = []
        try:
            for pair in pairs:
                if len(busy) + len(free) < requests:
                    self._check_open()
                    free.append(compiled.create_infer_request())
                if not free:
                    yield busy[0].maps()
                    free.append(busy.popleft().request)
                    self._check_open()
                busy.append(_Work(self._openvino, self.version, free.pop(), pair))
            while busy:
                self._check_open()
                yield busy[0].maps()
                busy.popleft()
        finally:
            for each in busy:  # whose images and maps must not go while they are at work
                each.end()

    def _measured(self, turn: list[Pair]) -> Iterator[Maps]:
        """A turn, one way or the other; the last of them says which is the faster."""
        alone, several = self._seconds[False], self._seconds[True]
        at_once = len(several) < len(alone)
        maps: list[Maps] = []
        failure = None
        start = time.perf_counter()
        try:
            for each in self._at_once(turn) if at_once else self._alone(turn):
                maps.append(each)
            self._seconds[at_once].append(time.perf_counter() - start)
        except BackendError as error:
            failure = error
        if self._faster is None and len(several) >= TURNS:
            self._faster = min(alone[1:]) > GAIN * min(several[1:])
            openvino_cache.keep_choice(self._faster, *self._key())
            if not self._faster:
                self._several = None
        yield from maps
        if failure:
            raise failure

    def _opened(self) -> bool:
        """Compile for streams, which is done once; where that cannot be, all goes without."""
        if self._several is not None:
            return True
        self._check_open()
        try:
            if self._mode == "auto":
                self._check_memory()
            self._several, _ = openvino_cache.compile_model(self._openvino, *self._key())
        except (RuntimeError, OSError, ToolkitError) as error:
            if self._mode == "throughput":
                raise BackendError(
                    f"{self._folder}: OpenVINO {self.version} did not compile it for "
                    f"{self._streams} streams: {reason(error)}; --mode latency goes without"
                ) from error
            self._faster = False
        return self._several is not None

    def _check_memory(self) -> None:
        """OSError where streams do not fit, each of which may take what this engine took so far."""
        free = host.available_memory()
        taken = max(0, _resident() - self._before)
        if free is not None and free < self._streams * taken:
            raise OSError("too little memory")

    def _check_open(self) -> None:
        if self._request is None:
            raise EngineError(f"{self._folder}: the engine is closed; load it again to predict")

    def _key(self) -> tuple[Manifest, Path, str, dict[str, Any]]:
        return self._manifest, self._folder, self.version, stream_settings(self._threads)


class _Work:
    """A pair that a request computes. What it reads and writes lives as long as this."""

    def __init__(self, openvino: Any, version: str, request: Any, pair: Pair) -> None:
        self.request, self._version, self._pair = request, version, pair
        damage, building, confidence = (np.empty(pair[0].shape[:-1], np.uint8) for _ in OUTPUTS)
        self._maps = damage, building, confidence
        self._failure: RuntimeError | None = None
        try:
            for name, array in zip(OUTPUTS, self._maps, strict=True):
                request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
            request.start_async(dict(zip(INPUTS, pair, strict=True)), share_inputs=True)
        except RuntimeError as error:  # told in its turn, after the maps of those before it
            self._failure = error

    def maps(self) -> Maps:
        """When they are there. Raises BackendError."""
        try:
            if self._failure:
                raise self._failure
            self.request.wait()
        except RuntimeError as error:
            raise failed_to_infer(self._version, error) from error
        return self._maps

    def end(self) -> None:
        if not self._failure:
            with suppress(RuntimeError):
                self.request.wait()


def _resident() -> int:
    """Bytes of memory that this process has; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")

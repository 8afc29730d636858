"""An engine: the folder is checked, then the payload is loaded, then pairs are predicted."""

from __future__ import annotations

import functools
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from runtime.backends import Backend, Mode, Pipelined, open_backend
from runtime.backends.contract import OUTPUTS
from runtime.damage import DAMAGE_CLASSES
from runtime.errors import ConfigError, EngineError, ImageError
from runtime.host import check_threads
from runtime.manifest import GATE, Manifest
from runtime.trust import OwnBuild

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Before and after."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Three uint8 maps, [H,W] for one pair or [N,H,W] for a batch.

    Attributes:
        damage: class of the damage scale: 0 where there is no building, 1 no-damage,
            2 minor-damage, 3 major-damage, 4 destroyed.
        building: building probability x 255, rounded.
        confidence: probability of the chosen class x 255 (of "no building" where damage is 0).
    """

    damage: NDArray[np.uint8]
    building: NDArray[np.uint8]
    confidence: NDArray[np.uint8]


class Engine:
    """A loaded engine, from `load_engine`. Threads may share it: they are served one at a time.

    It is a context manager; one that is dropped, or there when the interpreter ends, is closed
    by that.

    Attributes:
        manifest: everything that is known about the engine.
        folder: where it was loaded from.
    """

    def __init__(
        self,
        manifest: Manifest,
        backend: Backend,
        folder: Path,
        open_gate: Callable[[], Engine] | None = None,
    ) -> None:
        self._open_gate = open_gate
        self._gate: Engine | None = None
        self.manifest = manifest
        self.folder = folder
        self._backend: Backend | None = backend
        self._version = backend.version
        self._cached_compile = backend.cached_compile
        self._lock = threading.Lock()
        # Before the interpreter takes its modules apart, and in one piece: what lies on a GPU must
        # be freed in its order.
        self._free = weakref.finalize(self, backend.close)

    @property
    def height(self) -> int:
        """Of the images it takes, in pixels."""
        return self.manifest.input.height

    @property
    def width(self) -> int:
        """Of the images it takes, in pixels."""
        return self.manifest.input.width

    @property
    def window_gate(self) -> Engine | None:
        """Finds the windows of a scene that can hold a building, see `manifest.gate`; None for an
        engine without. It is loaded when it is first asked for, and closed with this engine.

        Raises what `load_engine` does.
        """
        if self._gate is None and self._open_gate is not None:
            with self._lock:
                self._opened()
                self._gate = self._gate or self._open_gate()
        return self._gate

    @property
    def backend_version(self) -> str:
        """Of the library that runs here; `manifest.target.version` is the one that built."""
        return self._version

    @property
    def cached_compile(self) -> bool | None:
        """Was something compiled at an earlier start used? None where nothing is kept."""
        return self._cached_compile

    def predict(
        self,
        pre: NDArray[np.uint8],
        post: NDArray[np.uint8],
        out: Prediction | None = None,
    ) -> Prediction:
        """The maps of one pair, or of a batch of pairs.

        Args:
            pre: image before, uint8 [H,W,3] RGB as decoded, or a batch [N,H,W,3] with N in the
                engine's batch range; H and W are the engine's.
            post: image after, of the same shape.
            out: an earlier result of the same shape, to be overwritten; then nothing of image
                size is allocated. Without it every result has memory of its own.

        Raises:
            ImageError: another dtype, shape, size or number of images than the engine takes.
            EngineError: the engine is closed, or gives values outside of the damage scale.
            BackendError: the inference library failed.
        """
        self._check_pair(pre, post)
        if out is None:
            out = Prediction(*(np.empty(pre.shape[:-1], np.uint8) for _ in range(3)))
        self._check_out(out, pre.shape[:-1])
        pre, post = self._batch(pre, post)
        wanted = (out.damage, out.building, out.confidence)
        fits = out.damage.size == pre[..., 0].size
        damage, building, confidence = (
            each.reshape(pre.shape[:-1]) if fits else np.empty(pre.shape[:-1], np.uint8)
            for each in wanted
        )
        with self._lock:
            self._opened().infer(pre, post, (damage, building, confidence))
        self._check_classes(damage)
        if not fits:
            for each, copies in zip(wanted, (damage, building, confidence), strict=True):
                each[...] = copies[0]
        return out

    def predict_many(self, pairs: Iterable[Pair]) -> Generator[Prediction, None, None]:
        """The results of many pairs in order, each as from `predict`.

        On a GPU the next pair is copied in and the last one out while one is computed, so one
        more pair is taken before a result is given; with streams of OpenVINO (`mode` of
        `load_engine`) twice as many as there are streams. Other calls, of this thread or another,
        may come between two results. An error ends it, and so does `close`, with EngineError; the
        results that were given stay.

        Args:
            pairs: before and after, each as for `predict`.

        Raises:
            ToolkitError: as `predict`, at the pair that it is about.
        """
        with self._lock:
            backend = self._opened()
        if not isinstance(backend, Pipelined):
            yield from (self.predict(pre, post) for pre, post in pairs)
            return
        single: deque[bool] = deque()

        def batches() -> Iterator[Pair]:
            for pre, post in pairs:
                self._check_pair(pre, post)
                single.append(pre.ndim == 3)
                yield self._batch(pre, post)

        for maps in backend.infer_many(batches()):
            alone = single.popleft()
            self._check_classes(maps[0])
            yield Prediction(*(each[0] if alone else each for each in maps))

    def close(self) -> None:
        """Free the engine; a second call does nothing."""
        with self._lock:
            self._backend = None
            self._free()
            if self._gate is not None:
                self._gate.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _opened(self) -> Backend:
        if self._backend is None:
            raise EngineError(f"{self.folder}: the engine is closed; load it again to predict")
        return self._backend

    def _batch(self, pre: NDArray[np.uint8], post: NDArray[np.uint8]) -> Pair:
        """As backends take it. An engine that takes no single pair gets copies of it."""
        if pre.ndim == 3:
            count = self.manifest.input.batch.min
            pre, post = (
                each[None] if count == 1 else np.stack([each] * count) for each in (pre, post)
            )
        return np.ascontiguousarray(pre), np.ascontiguousarray(post)

    def _check_pair(self, pre: NDArray[np.uint8], post: NDArray[np.uint8]) -> None:
        self._check(pre, "pre")
        self._check(post, "post")
        if pre.shape != post.shape:
            raise ImageError(
                f"pre is {_shape(pre)} and post is {_shape(post)}; "
                "expected as many pre images as post images"
            )

    def _check(self, image: NDArray[np.uint8], name: str) -> None:
        size, batch = f"{self.height}x{self.width}", self.manifest.input.batch
        expected = (
            f"this engine takes uint8 RGB [{self.height},{self.width},3], alone or in a batch"
        )
        if not isinstance(image, np.ndarray) or isinstance(image, np.ma.MaskedArray):
            raise ImageError(
                f"{name} is a {type(image).__name__}; {expected} (a NumPy array without a mask)"
            )
        if image.dtype != np.uint8:
            raise ImageError(f"{name} is {image.dtype}; {expected}, as decoded, not scaled")
        if image.ndim not in (3, 4) or image.shape[-1] != 3:
            raise ImageError(f"{name} is {_shape(image)}; {expected}")
        if image.shape[-3:-1] != (self.height, self.width):
            found = f"{image.shape[-3]}x{image.shape[-2]}"
            raise ImageError(
                f"{name} is {found} (height x width), this engine takes {size}; "
                f"{self.manifest.size_advice(self.folder, *image.shape[-3:-1])}"
            )
        if image.ndim == 3:
            return
        count = len(image)
        if not batch.min <= count <= batch.max:
            allowed = str(batch.min) if batch.min == batch.max else f"{batch.min} to {batch.max}"
            raise ImageError(
                f"{name} holds {count} images of {size}, this engine takes {allowed} at a time"
            )

    def _check_classes(self, damage: NDArray[np.uint8]) -> None:
        """Raises EngineError for values outside of the scale: a foreign or miscompiled graph."""
        largest = int(damage.max(initial=0))
        if largest > DAMAGE_CLASSES[-1]:
            raise EngineError(
                f"{self.folder}: gives damage class {largest}, expected 0 to {DAMAGE_CLASSES[-1]}; "
                f"rebuild with {self.manifest.rebuild_command(self.folder)}"
            )

    def _check_out(self, out: Prediction, shape: tuple[int, ...]) -> None:
        for name in OUTPUTS:
            array = getattr(out, name)
            flags = array.flags
            fits = array.shape == shape and array.dtype == np.uint8
            if not (fits and flags.c_contiguous and flags.writeable):
                raise ImageError(
                    f"out.{name} is {array.dtype} {_shape(array)}; expected an earlier result of "
                    f"this engine for such images, uint8 {_shape_of(shape)}, contiguous, writable"
                )


def load_engine(
    folder: Path | str,
    threads: int | None = None,
    device: int | None = None,
    mode: Mode = "latency",
    trust: Path | str | OwnBuild | None = None,
) -> Engine:
    """Check an engine folder and load it.

    Nothing is deserialised before the manifest and every payload file were checked, and no
    payload is read again after that, but for streams of OpenVINO (`mode`), which check it again.

    Args:
        folder: as written by `python -m export.build_engine`.
        threads: processor threads for one inference; None takes every physical core.
        device: number of a GPU, among those that CUDA_VISIBLE_DEVICES leaves; None takes the
            first that the engine was built for.
        mode: of `predict_many` with OpenVINO. "latency": one pair after the other, each with all
            threads. "throughput": several at once, with a part of the threads each. "auto": what
            is faster here, found out with the first pairs and kept for the next start. Engines of
            other libraries have no "throughput", and take "auto" for "latency".
        trust: folder of public keys, one of which must have signed the engine folder. What the
            device demands besides (/etc/dual-hrnet/trust, DUAL_HRNET_TRUST) is demanded anyway.

    Raises:
        EngineError: a folder that must not be loaded; its kinds say why: ManifestError,
            SignatureError, AlteredPayloadError, TargetMismatchError.
        BackendError: an inference library that is missing or refuses the engine.
        ConfigError: threads that no machine has, a device for an engine that runs on the
            processor, throughput for an engine that has none, or keys that cannot be read.
    """
    if threads is not None:
        check_threads(threads)
    folder = Path(folder)
    manifest = Manifest.read(folder, Path(trust) if isinstance(trust, str) else trust)
    if device is not None:
        check_device(manifest, folder, device)
    check_mode(manifest, folder, mode)
    backend = open_backend(manifest, folder, threads, device, mode)
    return Engine(
        manifest,
        backend,
        folder,
        functools.partial(open_gate, manifest, folder, threads, device) if manifest.gate else None,
    )


def open_gate(
    manifest: Manifest, folder: Path, threads: int | None = None, device: int | None = None
) -> Engine:
    """The window gate of an engine folder as an engine of its own; `manifest` has one.

    Raises what `load_engine` does.
    """
    of_gate, inner = manifest.of_gate(), folder / GATE
    return Engine(of_gate, open_backend(of_gate, inner, threads, device), inner)


def check_device(manifest: Manifest, folder: Path, device: int) -> None:
    """ConfigError where the engine does not run on GPUs, or a number cannot be one's."""
    if device < 0:
        raise ConfigError(f"--device is {device}; expected the number of a GPU, 0 or more")
    if not manifest.target.on_gpu:
        raise ConfigError(
            f"{folder}: an {manifest.target.backend} engine runs on the processor, and --device "
            f"{device} asks for a GPU; leave it out, or build the engine with --target tensorrt or "
            "onnxruntime-cuda"
        )


def check_mode(manifest: Manifest, folder: Path, mode: Mode) -> None:
    """ConfigError where throughput is asked of an engine that has none."""
    if mode == "throughput" and manifest.target.backend != "openvino":
        raise ConfigError(
            f"{folder}: an {manifest.target.backend} engine has no streams, which --mode "
            "throughput asks for; leave it out, or build the engine with --target openvino"
        )


def _shape(array: NDArray[np.uint8]) -> str:
    return _shape_of(array.shape)


def _shape_of(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(str(dim) for dim in shape) + "]"

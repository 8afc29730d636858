"""A plan file: is it for this machine and this library, and what stands behind it."""

from __future__ import annotations

import ctypes
import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime import cache
from runtime.backends.contract import INPUTS, Found, check_tensors
from runtime.backends.tensorrt_log import process_logger
from runtime.errors import BackendError, TargetMismatchError, reason
from runtime.manifest import Manifest

_MODULES = {
    "tensorrt": ("tensorrt", "tensorrt_lean", "tensorrt_dispatch"),
    "tensorrt-rtx": ("tensorrt_rtx",),
}


def library(manifest: Manifest, folder: Path) -> Any:
    """The Python module that loads the plan, of a version that can.

    Plans are tied to the release that built them. Only the lean and dispatch runtimes
    exist for plans of older ones, and refuse any that is not version-compatible.
    """
    target = manifest.target
    failures = []
    for name in _MODULES[target.backend]:
        try:
            trt: Any = importlib.import_module(name)
        except (ImportError, OSError) as error:  # OSError: a shared library of its own
            failures.append(f"{name}: {reason(error)}")
            continue
        break
    else:
        raise BackendError(
            f"{folder} is a {target.backend} engine, and its library cannot be imported "
            f"({'; '.join(failures)}); pip install {_requirement(manifest)}"
        )
    built, here = _release(target.version), _release(trt.__version__)
    lean = name in ("tensorrt_lean", "tensorrt_dispatch")
    if here < built if lean else here != built:
        raise TargetMismatchError(
            f"{folder}: a {target.backend} engine built by version {target.version}, {name} here "
            f"is {trt.__version__}; pip install {_requirement(manifest)}, or rebuild on this "
            f"machine with {manifest.rebuild_command(folder)}"
        )
    return trt


class Plan:
    """A deserialised plan and its one execution context.

    Belongs to the CUDA context that is current; so does every call.
    """

    def __init__(self, manifest: Manifest, path: Path, trt: Any) -> None:
        self._path = path
        self._size = manifest.input
        self._rebuild = f"rebuild with {manifest.rebuild_command(path.parent)}"
        self._trt = trt
        self._name = f"{manifest.target.backend} {trt.__version__}"
        self._logger = process_logger(trt)
        self._logger.forget()
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._cache: Any = None
        self._cached = b""
        digest = manifest.payload_file(path.parent, path.name).sha256
        self._cache_name = f"{digest}.bin"
        self.cached_compile: bool | None = None
        try:
            self._deserialise(manifest.read_payload(path.parent, path.name))
            check_tensors(*self._tensors(), manifest, path)
            self._check_profile()
            self._make_context()
        except BaseException:
            self.close()
            raise

    @property
    def captures_itself(self) -> bool:
        """TensorRT-RTX captures its own graphs, and knows when its kernels are final."""
        return hasattr(self._trt, "CudaGraphStrategy")

    def enqueue(self, addresses: Mapping[str, int], count: int, stream: int) -> None:
        """Put one inference on a stream (a CUstream). addresses: device memory by tensor name."""
        size = self._size
        self._logger.forget()
        if size.batch.min != size.batch.max:
            for name in INPUTS:
                if not self._context.set_input_shape(name, (count, size.height, size.width, 3)):
                    raise self._failure(f"refused a batch of {count}")
        for name, address in addresses.items():
            if not self._context.set_tensor_address(name, address):
                raise self._failure(f"refused the memory of {name}")
        if not self._context.execute_async_v3(stream):
            raise self._failure("failed to infer")

    def save_cache(self) -> None:
        """Keep the kernels that TensorRT-RTX compiled, for a faster next start."""
        if self._cache is None:
            return
        serialised = self._cache.serialize()
        content = b"" if serialised is None else bytes(serialised)
        if content in (b"", self._cached):
            return
        cache.write("tensorrt-rtx", self._cache_name, content)
        self._cached = content

    def close(self) -> None:
        self._context = self._cache = self._engine = self._runtime = None

    def _deserialise(self, content: bytes) -> None:
        # engine_host_code_allowed stays off: a plan is data, and code in it would not be.
        self._runtime = self._trt.Runtime(self._logger)
        if self._logger.error:
            # Where the driver is too old for the library, this is an empty object that crashes
            # the process when it is used, or freed: it is kept for good.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._runtime))
            raise self._failure("did not start")
        if hasattr(self._runtime, "get_engine_validity"):
            validity, findings = self._runtime.get_engine_validity(content)
            if validity == self._trt.EngineValidity.INVALID:
                raise self._unfit(int(findings))
        self._engine = self._runtime.deserialize_cuda_engine(content)
        if self._engine is None:
            raise self._failure("refused it")

    def _tensors(self) -> tuple[Found, Found]:
        engine, mode = self._engine, self._trt.TensorIOMode.INPUT
        found: tuple[dict[str, Any], dict[str, Any]] = {}, {}
        for i in range(engine.num_io_tensors):
            name = engine.get_tensor_name(i)
            shape = tuple(None if dim < 0 else dim for dim in engine.get_tensor_shape(name))
            dtype = engine.get_tensor_dtype(name).name.lower()
            found[engine.get_tensor_mode(name) != mode][name] = dtype, shape
        return found

    def _check_profile(self) -> None:
        """A dynamic plan must take the batches that the manifest promises."""
        batch = self._size.batch
        if batch.min == batch.max:
            return
        for name in INPUTS:
            low, _, high = self._engine.get_tensor_profile_shape(name, 0)
            if low[0] > batch.min or high[0] < batch.max:
                raise BackendError(
                    f"{self._path}: input {name} takes {low[0]} to {high[0]} at a time, "
                    f"the manifest says {batch.min} to {batch.max}; {self._rebuild}"
                )

    def _make_context(self) -> None:
        if self.captures_itself:
            config = self._engine.create_runtime_config()
            try:
                self._configure(config)
                self._context = self._engine.create_execution_context(config)
            finally:
                del config  # it keeps the engine, and a traceback would keep it
        else:
            self._context = self._engine.create_execution_context()
        if self._context is None:
            raise self._failure("has no memory or no kernels for it")

    def _configure(self, config: Any) -> None:
        config.cuda_graph_strategy = self._trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        self._cache = config.create_runtime_cache()
        content = cache.read("tensorrt-rtx", self._cache_name)
        # What is refused is another GPU's or release's.
        self.cached_compile = content is not None and bool(self._cache.deserialize(content))
        if content is not None and self.cached_compile:
            self._cached = content
        config.set_runtime_cache(self._cache)

    def _unfit(self, findings: int) -> BackendError | TargetMismatchError:
        kinds = self._trt.EngineInvalidityDiagnostics
        names = [name for name, kind in kinds.__members__.items() if int(kind) & findings]
        built_for_another = int(kinds.VERSION_MISMATCH) | int(kinds.UNSUPPORTED_CC)
        error = TargetMismatchError if findings & built_for_another else BackendError
        why = ", ".join(names) or self._logger.error or "no reason given"
        return error(f"{self._path}: {self._name} cannot load it ({why}); {self._rebuild}")

    def _failure(self, what: str) -> BackendError:
        said = self._logger.error or "no reason given"
        return BackendError(f"{self._path}: {self._name} {what}: {said}; {self._rebuild}")


def _release(version: str) -> tuple[int, ...]:
    """major.minor, within which NVIDIA keeps the plan format."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _requirement(manifest: Manifest) -> str:
    """For pip: the release that built the plan."""
    numbers = [str(each) for each in _release(manifest.target.version)]
    return f'"{manifest.target.backend}=={".".join([*numbers, "*"])}"'

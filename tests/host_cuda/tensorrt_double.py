"""TensorRT's runtime classes over the host driver: a plan is ONNX, ONNX Runtime computes it.

What the backend uses is here and nothing else; names and signatures are compared with
the real bindings in `tests/runtime/cuda/test_double.py`. An inference is one kernel on
the given stream that reads and writes the given addresses, and the context's own memory.
"""

from __future__ import annotations

import ctypes
import enum
import math
import os
import sys
import traceback
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime

_cuda = ctypes.CDLL("libcuda.so.1")
_KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p))
SCRATCH = 4096


class _Range(ctypes.Structure):
    _fields_ = (
        ("address", ctypes.c_ulonglong),
        ("size", ctypes.c_size_t),
        ("write", ctypes.c_int),
    )


CONTEXT_IS_GONE = 201  # CUDA_ERROR_INVALID_CONTEXT


class _Memory:
    """Device memory that the library takes for itself, and frees when its owner goes."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.address = ctypes.c_ulonglong()

    def take(self) -> int:
        status: int = _cuda.cuMemAlloc_v2(ctypes.byref(self.address), SCRATCH)
        return status

    def __del__(self) -> None:
        status = _cuda.cuMemFree_v2(self.address) if self.address else 0
        # One that broke may not be entered any more: nothing better can be done then.
        if status == CONTEXT_IS_GONE and not _cuda.hostCudaIsBroken():
            print(f"the {self.owner} outlived its CUDA context", file=sys.stderr, flush=True)
            os._exit(88)


_launches: dict[int, Callable[[list[int]], None]] = {}
compiled: list[tuple[int, ...]] = []
"""The input shapes for which a TensorRT-RTX context had to compile kernels."""


@_KERNEL
def _kernel(data: int, pointers: Any) -> None:
    try:
        _launches[data](pointers)
    except BaseException:
        traceback.print_exc()
        os._exit(88)


def _launch(stream: int, work: Callable[[Any], None], ranges: list[tuple[int, int, bool]]) -> int:
    key = len(_launches) + 1
    _launches[key] = work
    array = (_Range * len(ranges))(*ranges)
    status: int = _cuda.hostCudaLaunch(
        ctypes.c_void_p(stream), _kernel, ctypes.c_void_p(key), array, len(ranges)
    )
    return status


def _array(address: int, shape: tuple[int, ...]) -> np.ndarray:
    memory = (ctypes.c_uint8 * math.prod(shape)).from_address(address)
    return np.frombuffer(memory, np.uint8).reshape(shape)


class TensorIOMode(enum.Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class DataType(enum.Enum):
    FLOAT = 0
    UINT8 = 5


class EngineValidity(enum.Enum):
    VALID = 0
    SUBOPTIMAL = 1
    INVALID = 2


class EngineInvalidityDiagnostics(enum.IntFlag):
    VERSION_MISMATCH = 1
    UNSUPPORTED_CC = 2
    MALFORMED_ENGINE = 32


class CudaGraphStrategy(enum.Enum):
    DISABLED = 0
    WHOLE_GRAPH_CAPTURE = 1


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    def log(self, severity: Any, msg: str) -> None:
        raise NotImplementedError


class Runtime:
    engine_host_code_allowed = False
    _first: weakref.ref[ILogger] | None = None

    def __init__(self, logger: ILogger) -> None:
        self._kept = logger
        if type(self)._first is None:
            # As the real library: it takes no other, and keeps a pointer that keeps nothing alive.
            type(self)._first = weakref.ref(logger)

    @property
    def _logger(self) -> ILogger:
        logger = type(self)._first()  # type: ignore[misc]
        if logger is None:
            print("a dead logger is spoken to", file=sys.stderr, flush=True)
            os._exit(88)
        return logger

    def get_engine_validity(self, buffer: bytes) -> tuple[EngineValidity, int]:
        for content, finding in (
            (b"other release", EngineInvalidityDiagnostics.VERSION_MISMATCH),
            (b"not a plan", EngineInvalidityDiagnostics.MALFORMED_ENGINE),
        ):
            if buffer.startswith(content):
                return EngineValidity.INVALID, finding
        return EngineValidity.VALID, 0

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        try:
            session = onnxruntime.InferenceSession(serialized_engine, options)
        except Exception as error:
            self._logger.log(ILogger.ERROR, f"no plan:\n{error}")
            return None
        return ICudaEngine(session, self)


class ICudaEngine:
    profile = ((1,), (2,), (64,))
    """Batches of the optimisation profile: min, opt, max."""

    def __init__(self, session: Any, runtime: Runtime) -> None:
        self._session, self._runtime = session, runtime
        self._weights = _Memory("engine")
        self._weights.take()
        self._nodes = {node.name: node for node in session.get_inputs() + session.get_outputs()}
        self._inputs = [node.name for node in session.get_inputs()]

    @property
    def num_io_tensors(self) -> int:
        return len(self._nodes)

    def get_tensor_name(self, index: int) -> str:
        return list(self._nodes)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self._inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType[self._nodes[name].type.removeprefix("tensor(").removesuffix(")").upper()]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(dim if isinstance(dim, int) else -1 for dim in self._nodes[name].shape)

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        assert profile_index == 0
        return [(*batch, *self.get_tensor_shape(name)[1:]) for batch in self.profile]

    def create_runtime_config(self) -> IRuntimeConfig:
        config = IRuntimeConfig()
        config._engine = self
        return config

    def create_execution_context(self, runtime_config: Any = None) -> IExecutionContext:
        return IExecutionContext(self, runtime_config)


class IRuntimeCache:
    def __init__(self) -> None:
        self.shapes: list[str] = []

    def serialize(self) -> bytes:
        return "\n".join(["kernels", *sorted(self.shapes)]).encode()

    def deserialize(self, blob: bytes) -> bool:
        name, *shapes = blob.decode(errors="replace").split("\n")
        if name == "kernels":
            self.shapes = shapes
        return name == "kernels"


class IRuntimeConfig:
    cuda_graph_strategy = CudaGraphStrategy.DISABLED
    _cache: IRuntimeCache | None = None
    _engine: ICudaEngine | None = None

    def create_runtime_cache(self) -> IRuntimeCache:
        return IRuntimeCache()

    def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
        self._cache = cache
        return True


class IExecutionContext:
    def __init__(self, engine: ICudaEngine, config: IRuntimeConfig | None) -> None:
        self._engine, self._config = engine, config
        self._shapes = {name: engine.get_tensor_shape(name) for name in engine._inputs}
        self._addresses: dict[str, int] = {}
        self._scratch = _Memory("execution context")

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        low, _, high = self._engine.get_tensor_profile_shape(name, 0)
        if not low[0] <= shape[0] <= high[0] or tuple(shape[1:]) != tuple(low[1:]):
            self._engine._runtime._logger.log(
                ILogger.ERROR, f"{name} {shape} is outside the profile"
            )
            return False
        self._shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return name in self._engine._nodes

    def execute_async_v3(self, stream_handle: int) -> bool:
        engine = self._engine
        if set(self._addresses) != set(engine._nodes):
            engine._runtime._logger.log(ILogger.ERROR, "not every tensor has an address")
            return False
        # As the real one, it allocates in its first run: which no capture allows.
        if not self._scratch.address and (status := self._scratch.take()):
            what = f"no memory for activations, CUDA error {status}"
            engine._runtime._logger.log(ILogger.ERROR, what)
            return False
        self._compile()
        batch = self._shapes[engine._inputs[0]][0]
        shapes = {name: (batch, *engine.get_tensor_shape(name)[1:]) for name in engine._nodes}
        ranges = [
            (self._addresses[name], math.prod(shape), name not in engine._inputs)
            for name, shape in shapes.items()
        ]

        session, taken = engine._session, engine._inputs  # not the engine, which must go

        def work(pointers: Any) -> None:
            arrays = {
                name: _array(pointers[i], shape) for i, (name, shape) in enumerate(shapes.items())
            }
            outputs = [name for name in shapes if name not in taken]
            inputs = {name: arrays[name] for name in taken}
            for name, result in zip(outputs, session.run(outputs, inputs), strict=True):
                arrays[name][...] = result

        scratch = (self._scratch.address.value, SCRATCH, True)
        if status := _launch(stream_handle, work, [*ranges, scratch]):
            engine._runtime._logger.log(
                ILogger.ERROR, f"the launch failed with CUDA error {status}"
            )
        return not status

    def _compile(self) -> None:
        shape = self._shapes[self._engine._inputs[0]]
        cache = None if self._config is None else self._config._cache
        if cache is not None and str(shape) not in cache.shapes:
            cache.shapes.append(str(shape))
            compiled.append(shape)


COMMON = (
    "TensorIOMode", "DataType", "ILogger", "Runtime", "ICudaEngine", "IExecutionContext",
)  # fmt: skip
RTX = (
    "EngineValidity", "EngineInvalidityDiagnostics", "CudaGraphStrategy", "IRuntimeConfig",
    "IRuntimeCache",
)  # fmt: skip


def module(name: str, version: str) -> types.ModuleType:
    """A module to stand in `sys.modules` for `tensorrt` or `tensorrt_rtx`."""
    double = types.ModuleType(name)
    double.__version__ = version  # type: ignore[attr-defined]
    for each in COMMON + (RTX if name == "tensorrt_rtx" else ()):
        setattr(double, each, globals()[each])
    if name != "tensorrt_rtx":
        older = {k: v for k, v in vars(Runtime).items() if k != "get_engine_validity"}
        double.Runtime = type("Runtime", (), older)  # type: ignore[attr-defined]
    return double

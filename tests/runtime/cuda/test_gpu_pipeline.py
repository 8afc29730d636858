"""The backend's copies, streams and graphs with NVIDIA's own driver: `pytest -m gpu`.

Where the plan would compute, PyTorch does, on the same stream and memory: a GPU that
TensorRT-RTX does not know (Hopper) takes part, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from export.deploy import DeployGraph, DeployOptions, deploy_graph
from runtime.backends.contract import INPUTS, OUTPUTS
from runtime.backends.tensorrt import TensorRtBackend
from runtime.cuda import Device

pytestmark = pytest.mark.gpu

SIZE = (256, 320)
Pair = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass
class Memory:
    """The backend's device memory, as PyTorch takes it."""

    address: int
    shape: tuple[int, ...]

    @property
    def __cuda_array_interface__(self) -> dict[str, object]:
        return {"data": (self.address, False), "shape": self.shape, "typestr": "|u1", "version": 3}


class TorchPlan:
    """What `runtime.backends.tensorrt_plan.Plan` is to the backend."""

    captures_itself = False

    def __init__(self, graph: DeployGraph, size: tuple[int, int]) -> None:
        self._graph, self._size = graph, size

    def enqueue(self, addresses: Mapping[str, int], count: int, stream: int) -> None:
        area = (count, *self._size)
        views = {
            name: torch.as_tensor(Memory(at, (*area, 3) if name in INPUTS else area), device="cuda")
            for name, at in addresses.items()
        }
        with torch.cuda.stream(torch.cuda.ExternalStream(stream)), torch.inference_mode():
            maps = self._graph(*(views[name] for name in INPUTS))
            for name, found in zip(OUTPUTS, maps, strict=True):
                views[name].copy_(found)

    def save_cache(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture(params=["fp32", "fp16"])
def graph(request: pytest.FixtureRequest, plausible: Callable) -> DeployGraph:
    return deploy_graph(plausible(), DeployOptions(*SIZE, precision=request.param)).to("cuda")


@pytest.fixture
def open_backend(
    graph: DeployGraph, device_class: Callable[[], Device], make_manifest: Callable,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., TensorRtBackend]]:  # fmt: skip
    opened: list[TensorRtBackend] = []
    plan = TorchPlan(graph, SIZE)
    monkeypatch.setattr("runtime.backends.tensorrt.Plan", lambda *_: plan)

    def make(batch: tuple[int, int, int] = (1, 1, 1)) -> TensorRtBackend:
        manifest = make_manifest(tmp_path, [], "tensorrt", SIZE, batch)
        opened.append(TensorRtBackend(manifest, tmp_path, torch, device_class()))
        return opened[-1]

    yield make
    for backend in opened:
        backend.close()


def _pairs(number: int, count: int = 1) -> list[Pair]:
    rng = np.random.default_rng(11)
    return [tuple(rng.integers(0, 256, (2, count, *SIZE, 3), np.uint8)) for _ in range(number)]


def _check(maps: tuple[np.ndarray, ...], graph: DeployGraph, pair: Pair) -> None:
    with torch.inference_mode():
        wanted = graph(*(torch.from_numpy(image).to("cuda") for image in pair))
    for found, expected in zip(maps, wanted, strict=True):
        np.testing.assert_array_equal(found, expected.cpu().numpy())


def test_one_pair_at_a_time(open_backend: Callable, graph: DeployGraph) -> None:
    backend = open_backend()
    for pair in _pairs(5):
        maps = tuple(np.empty((1, *SIZE), np.uint8) for _ in OUTPUTS)
        backend.infer(*pair, maps)
        _check(maps, graph, pair)


def test_a_fixed_shape_is_captured_where_the_package_can(
    open_backend: Callable, device_class: Callable
) -> None:
    assert open_backend().has_graphs is device_class.can_capture


def test_many_pairs_overlap_and_keep_their_order(
    open_backend: Callable, graph: DeployGraph
) -> None:
    pairs = _pairs(60)
    for maps, pair in zip(open_backend().infer_many(pairs), pairs, strict=True):
        _check(maps, graph, pair)


def test_a_batch_range_takes_every_size(open_backend: Callable, graph: DeployGraph) -> None:
    batches = [_pairs(1, size)[0] for size in (1, 3, 2, 3, 1)]
    backend = open_backend((1, 2, 3))
    assert not backend.has_graphs
    for maps, pair in zip(backend.infer_many(batches), batches, strict=True):
        _check(maps, graph, pair)


def test_a_reader_that_stops_early_leaves_the_backend_usable(
    open_backend: Callable, graph: DeployGraph
) -> None:
    backend = open_backend()
    pairs = _pairs(4)
    reader = backend.infer_many(pairs)
    next(reader)
    reader.close()
    for maps, pair in zip(backend.infer_many(pairs), pairs, strict=True):
        _check(maps, graph, pair)

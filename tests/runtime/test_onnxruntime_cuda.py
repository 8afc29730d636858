"""Engines for ONNX Runtime's CUDA provider, where there is no GPU: what is refused, and how; and
the whole backend with the processor in the GPU's place, whose memory and bindings have the same
interface. With a GPU: `tests/runtime/cuda/test_gpu_onnxruntime.py`.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from runtime import load_engine
from runtime.backends import onnxruntime_cuda, onnxruntime_wheels
from runtime.backends.onnxruntime import load_onnxruntime, settings
from runtime.cuda import driver
from runtime.engine import Engine
from runtime.errors import AlteredPayloadError, BackendError, ConfigError
from runtime.manifest import Manifest

BACKEND = "onnxruntime-cuda"
HOPPER = driver.Gpu(0, "H200", "9.0")
GPU_WHEEL_PYTHON = "DUAL_HRNET_ORT_GPU_PYTHON"


@pytest.fixture
def folder(make_engine: Callable, tmp_path: Path) -> Path:
    return make_engine(tmp_path / "engine", BACKEND)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver says that there is one."""
    monkeypatch.setattr(driver, "gpus", lambda: [HOPPER])


class OnProcessor:
    """`open_session` without the one thing that this machine has not. `threads`: that asked."""

    def __init__(self, refuses_graphs: bool = False) -> None:
        self.refuses_graphs = refuses_graphs
        self.captured: list[bool] = []
        self.threads: set[int] = set()

    def __call__(self, onnxruntime, content: bytes, gpu: int, captured: bool):
        self.captured.append(captured)
        if captured and self.refuses_graphs:
            raise RuntimeError("This session cannot use the CUDA Graph feature")
        session = onnxruntime.InferenceSession(
            content, settings(1), providers=["CPUExecutionProvider"], enable_fallback=0
        )
        run = session.run_with_iobinding

        def noted(binding) -> None:
            self.threads.add(threading.get_ident())
            run(binding)

        session.run_with_iobinding = noted
        return session


@pytest.fixture
def on_processor(gpu: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., OnProcessor]:
    def use(**how: bool) -> OnProcessor:
        opener = OnProcessor(**how)
        monkeypatch.setattr(onnxruntime_cuda, "open_session", opener)
        monkeypatch.setattr(onnxruntime_cuda, "load_cuda_provider", lambda gpu: load_onnxruntime())
        monkeypatch.setattr(onnxruntime_cuda, "DEVICE", "cpu")
        return opener

    return use


def _pairs(number: int, *shape: int) -> list[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(4)
    return [tuple(random.integers(0, 256, (2, *shape, 3), np.uint8)) for _ in range(number)]


def _check(engine: Engine, pair: tuple[np.ndarray, np.ndarray], reference: Callable) -> None:
    found = engine.predict(*pair)
    wanted = reference(*pair)
    for name, expected in zip(("damage", "building", "confidence"), wanted, strict=True):
        np.testing.assert_array_equal(getattr(found, name), expected)


def test_every_pair_is_copied_in_computed_and_copied_out(folder, on_processor, reference) -> None:
    opener = on_processor()
    with load_engine(folder) as engine:
        assert engine._backend.has_graphs
        for pair in _pairs(4, 32, 48):
            _check(engine, pair, reference)
    assert opener.captured == [True]


def test_device_memory_is_bound_once(folder, on_processor, reference) -> None:
    """A captured graph reads and writes the addresses that it was captured with."""
    on_processor()
    with load_engine(folder) as engine:
        addresses = set()
        for pair in _pairs(3, 32, 48):
            _check(engine, pair, reference)
            values = engine._backend._device._last.values
            addresses.add(tuple(value.data_ptr() for value in values.values()))
        assert len(addresses) == 1


def test_a_batch_range_is_bound_for_every_size_and_not_captured(
    make_engine, tmp_path, on_processor, reference
) -> None:
    opener = on_processor()
    folder = make_engine(tmp_path / "range", BACKEND, batch=(1, 2, 4))
    with load_engine(folder) as engine:
        for count in (1, 4, 2, 3, 1):
            (pair,) = _pairs(1, count, 32, 48)
            _check(engine, pair, reference)
        assert not engine._backend.has_graphs
    assert opener.captured == [False]


def test_a_graph_that_the_provider_refuses_is_left_out(folder, on_processor, reference) -> None:
    opener = on_processor(refuses_graphs=True)
    with load_engine(folder) as engine:
        assert not engine._backend.has_graphs
        _check(engine, *_pairs(1, 32, 48), reference)
    assert opener.captured == [True, False]


def test_one_thread_runs_the_session_whoever_asks(folder, on_processor, reference) -> None:
    """ONNX Runtime allows a session with a CUDA graph to be run by one thread alone."""
    opener = on_processor()
    with load_engine(folder) as engine, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda pair: _check(engine, pair, reference), _pairs(12, 32, 48)))
    assert len(opener.threads) == 1
    assert threading.get_ident() not in opener.threads


def test_compute_leaves_the_answer_as_it_is(folder, on_processor, reference) -> None:
    """Benchmarks time it: no copies."""
    on_processor()
    with load_engine(folder) as engine:
        pair = _pairs(1, 32, 48)[0]
        engine.predict(*pair)
        values = engine._backend._device._last.values
        engine._backend.compute()
        for name, expected in zip(
            ("damage", "building", "confidence"), reference(*pair), strict=True
        ):
            np.testing.assert_array_equal(values[name].numpy()[0], expected)


def test_a_failure_on_the_device_is_one_clear_line(folder, on_processor) -> None:
    on_processor()
    with load_engine(folder) as engine:
        engine._backend._device._last.values["pre"] = None
        with pytest.raises(BackendError, match="failed to infer on the GPU: .*; see whether nvi"):
            engine.predict(*_pairs(1, 32, 48)[0])


def test_closing_ends_its_thread(folder, on_processor) -> None:
    on_processor()
    before = threading.active_count()
    engine = load_engine(folder)
    assert threading.active_count() == before + 1
    (worker,) = (t for t in threading.enumerate() if t.name.startswith("onnxruntime-cuda"))
    engine.close()
    worker.join(10)
    assert not worker.is_alive()


def test_without_a_gpu_the_targets_that_run_are_named(folder, monkeypatch) -> None:
    monkeypatch.setattr(driver, "gpus", list)
    with pytest.raises(BackendError, match="a onnxruntime-cuda engine runs on an NVIDIA GPU") as e:
        load_engine(folder)
    assert "--target onnxruntime or --target openvino" in str(e.value)
    assert "\n" not in str(e.value)


def test_a_gpu_that_is_not_there_is_refused(folder, gpu) -> None:
    with pytest.raises(ConfigError, match="there is no GPU 3 for it"):
        load_engine(folder, device=3)


def test_an_onnxruntime_without_the_provider_is_refused_with_what_to_install(folder, gpu) -> None:
    if onnxruntime_cuda.has_provider(load_onnxruntime()):
        pytest.skip("the onnxruntime here is for GPUs")
    with pytest.raises(BackendError, match="has no CUDAExecutionProvider") as caught:
        load_engine(folder)
    assert 'pip install "onnxruntime-gpu[cuda,cudnn]>=1.21"' in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_session_that_would_fall_back_to_the_processor_is_refused(folder) -> None:
    """What ONNX Runtime does by itself, without a word, where the provider cannot be had."""
    if onnxruntime_cuda.has_provider(load_onnxruntime()) and driver.gpus():
        pytest.skip("here it would not")
    content = (folder / "model.onnx").read_bytes()
    with pytest.raises(Exception, match="fallback to CPU EP has been explicitly disabled|fell"):
        onnxruntime_cuda.open_session(load_onnxruntime(), content, 0, captured=False)


def test_another_platform_does_not_matter(folder, on_processor, edit_manifest, reference) -> None:
    """The payload is the graph."""
    on_processor()
    edit_manifest(folder, lambda content: content["target"].update(platform="linux-riscv64"))
    with load_engine(folder) as engine:
        _check(engine, *_pairs(1, 32, 48), reference)


def test_a_payload_that_was_altered_is_not_given_to_the_library(folder, on_processor) -> None:
    opener = on_processor()
    path = folder / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(AlteredPayloadError):
        load_engine(folder)
    assert not opener.captured


def test_a_graph_of_other_tensors_is_refused_and_the_thread_ends(folder, on_processor) -> None:
    on_processor()
    manifest = Manifest.read(folder)
    size = dataclasses.replace(manifest.input, width=64)
    dataclasses.replace(manifest, input=size).write(folder)
    with pytest.raises(BackendError):
        load_engine(folder)
    left = [t for t in threading.enumerate() if t.name.startswith("onnxruntime-cuda")]
    for each in left:
        each.join(10)
    assert not any(each.is_alive() for each in left)


def test_fp32_is_not_tf32() -> None:
    """The provider's own default, from Ampere on."""
    assert onnxruntime_cuda.provider_options(2, captured=True) == {
        "device_id": "2",
        "use_tf32": "0",
        "enable_cuda_graph": "1",
    }


@pytest.fixture
def second_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip leaves when onnxruntime-gpu is installed beside onnxruntime."""
    here = onnxruntime_wheels.installed()
    assert len(here) == 1
    other = "onnxruntime" if here == ["onnxruntime-gpu"] else "onnxruntime-gpu"
    info = tmp_path / f"{other.replace('-', '_')}-1.31.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {other}\nVersion: 1.31.1\n")
    (info / "RECORD").write_text("onnxruntime/__init__.py,,\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_two_wheels_in_one_folder_are_refused_with_the_command_that_mends_it(
    folder, gpu, second_wheel
) -> None:
    expected = "onnxruntime and onnxruntime-gpu are installed together"
    with pytest.raises(BackendError, match=expected) as caught:
        load_engine(folder)
    assert str(caught.value).endswith(
        "pip uninstall -y onnxruntime onnxruntime-gpu && "
        'pip install "onnxruntime-gpu[cuda,cudnn]>=1.21"'
    )
    assert "\n" not in str(caught.value)


def test_what_a_second_wheel_left_when_it_was_uninstalled_is_named(python, make_engine, tmp_path):
    """A folder without its __init__.py still imports."""
    folder = make_engine(tmp_path / "cpu")
    code = f"""
import sys, types
sys.modules["onnxruntime"] = types.ModuleType("onnxruntime")
from runtime import load_engine
from runtime.errors import BackendError
try:
    load_engine({str(folder)!r})
except BackendError as error:
    print(error)
"""
    result = python("-c", code)
    assert result.returncode == 0, result.stderr
    assert "the package onnxruntime is incomplete" in result.stdout
    assert "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxrunt" in result.stdout


@pytest.mark.skipif(GPU_WHEEL_PYTHON not in os.environ, reason=f"{GPU_WHEEL_PYTHON} is not set")
def test_the_gpu_wheel_without_a_gpu_says_what_it_lacks(folder) -> None:
    """An interpreter with onnxruntime-gpu (and NumPy), named by the variable, and no GPU."""
    code = f"""
from runtime import load_engine
from runtime.cuda import driver
from runtime.errors import BackendError
driver.gpus = lambda: [driver.Gpu(0, "H200", "9.0")]
try:
    load_engine({str(folder)!r})
except BackendError as error:
    print(error)
"""
    repository = Path(__file__).parents[2]
    line = [os.environ[GPU_WHEEL_PYTHON], "-c", code]
    done = subprocess.run(line, cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (said,) = done.stdout.splitlines()
    assert "the CUDAExecutionProvider of onnxruntime" in said
    assert "it needs NVIDIA's driver, and the CUDA and cuDNN" in said

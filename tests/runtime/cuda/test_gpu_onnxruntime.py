"""ONNX Runtime's CUDA provider with a real GPU: `pytest -m gpu`. Not one of these has ever run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from runtime import load_engine
from runtime.backends import onnxruntime_cuda
from runtime.backends.onnxruntime import load_onnxruntime
from runtime.engine import Engine
from runtime.errors import BackendError
from runtime.manifest import Manifest

pytestmark = pytest.mark.gpu

BACKEND = "onnxruntime-cuda"
SIZE = (32, 48)
MAPS = ("damage", "building", "confidence")


@pytest.fixture(autouse=True)
def _provider() -> None:
    try:
        onnxruntime_cuda.load_cuda_provider(0)
    except BackendError as error:
        pytest.skip(str(error))


def _pairs(number: int, *shape: int) -> list[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(5)
    return [tuple(random.integers(0, 256, (2, *shape, 3), np.uint8)) for _ in range(number)]


def _check(engine: Engine, pair: tuple[np.ndarray, np.ndarray], reference: Callable) -> None:
    found = engine.predict(*pair)
    for name, expected in zip(MAPS, reference(*pair), strict=True):
        np.testing.assert_array_equal(getattr(found, name), expected)


def test_pairs_are_answered_as_by_numpy(make_engine, tmp_path, reference, capsys) -> None:
    folder = make_engine(tmp_path / "engine", BACKEND)
    with load_engine(folder) as engine:
        with capsys.disabled():
            print(f"\nCUDA graph: {engine._backend.has_graphs}")
        for pair in _pairs(5, *SIZE):
            _check(engine, pair, reference)
        engine._backend.compute()


def test_a_fixed_shape_is_captured(make_engine, tmp_path) -> None:
    with load_engine(make_engine(tmp_path / "engine", BACKEND)) as engine:
        assert engine._backend.has_graphs


def test_a_batch_range_takes_every_size(make_engine, tmp_path, reference) -> None:
    folder = make_engine(tmp_path / "engine", BACKEND, batch=(1, 2, 4))
    with load_engine(folder) as engine:
        for count in (1, 4, 2, 3, 1):
            _check(engine, *_pairs(1, count, *SIZE), reference)


def test_threads_share_an_engine(make_engine, tmp_path, reference) -> None:
    folder = make_engine(tmp_path / "engine", BACKEND)
    with load_engine(folder) as engine, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda pair: _check(engine, pair, reference), _pairs(40, *SIZE)))


def test_engines_come_and_go(make_engine, tmp_path, reference) -> None:
    folder = make_engine(tmp_path / "engine", BACKEND)
    (pair,) = _pairs(1, *SIZE)
    for _ in range(10):
        with load_engine(folder) as engine:
            _check(engine, pair, reference)


def test_two_engines_at_once(make_engine, tmp_path, reference) -> None:
    folders = [make_engine(tmp_path / name / "engine", BACKEND) for name in ("a", "b")]
    with load_engine(folders[0]) as one, load_engine(folders[1]) as other:
        for pair in _pairs(4, *SIZE):
            _check(one, pair, reference)
            _check(other, pair, reference)


def test_the_provider_takes_its_options(make_engine, tmp_path) -> None:
    """A name that it does not know is an error there."""
    content = (make_engine(tmp_path / "engine", BACKEND) / "model.onnx").read_bytes()
    session = onnxruntime_cuda.open_session(load_onnxruntime(), content, 0, captured=True)
    options = session.get_provider_options()[onnxruntime_cuda.PROVIDER]
    for name, value in onnxruntime_cuda.provider_options(0, captured=True).items():
        assert options[name] == value


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_network_is_built_run_and_agrees_with_fp32_on_the_processor(
    precision, small_checkpoint, command, tmp_path, synthetic
) -> None:
    folders: dict[str, Path] = {}
    for name, target in ((precision, BACKEND), ("fp32", "onnxruntime")):
        folders[target] = tmp_path / target
        built = command(
            "export.build_engine", f"--{name}", "--checkpoint", small_checkpoint, "--size", 96, 96,
            "--target", target, "--out", folders[target],
        )  # fmt: skip
        assert built.returncode == 0, built.stderr
    verification = Manifest.read(folders[BACKEND]).verification
    assert verification["status"] == "ran"
    assert verification["parity"]["what"] == "the engine"
    from runtime.source.picture import read_image

    images = sorted((synthetic / "test" / "images").glob("*_pre_disaster.png"))
    assert images
    with load_engine(folders[BACKEND]) as engine, load_engine(folders["onnxruntime"]) as expected:
        for path in images:
            pair = (
                read_image(path),
                read_image(path.with_name(path.name.replace("_pre_", "_post_"))),
            )
            agreement = np.mean(engine.predict(*pair).damage == expected.predict(*pair).damage)
            assert agreement >= (0.9999 if precision == "fp32" else 0.99)

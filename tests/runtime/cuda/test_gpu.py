"""The TensorRT backend with the real driver and libraries: `pytest -m gpu`.

Not one of these has ever run: the only GPU so far was of a kind that TensorRT-RTX does not
take, and TensorRT was not at hand. What stands in for them is the rest of this folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from runtime import host, load_engine
from runtime.manifest import Target

pytestmark = pytest.mark.gpu

SIZE = (32, 64)


@pytest.fixture(params=["tensorrt", "tensorrt-rtx"])
def flavour(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param.replace("-", "_"))
    if request.param == "tensorrt-rtx":
        from export.builders.tensorrt import capabilities

        if (gpu := host.compute_capability()) not in capabilities():
            pytest.skip(f"tensorrt-rtx does not compile for compute capability {gpu}")
    return request.param


@pytest.fixture
def device(device_class: type, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("runtime.backends.tensorrt.open_device", device_class)
    return device_class.__name__


@pytest.fixture
def small_engine(flavour, make_engine, make_manifest, tmp_path, monkeypatch) -> Callable:
    """Build the small exact graph for the GPU here; its folder, and ONNX Runtime's."""
    from export.builders import tensorrt as builder
    from export.deploy import DeployOptions

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(batch: tuple[int, int, int] = (1, 1, 1)) -> tuple[Path, Path]:
        reference = make_engine(tmp_path / "reference", size=SIZE, batch=batch)
        folder = tmp_path / "engine"
        folder.mkdir()
        capability = host.compute_capability()
        options = DeployOptions(*SIZE, batch=batch)
        model = onnx.load(reference / "model.onnx")
        names = builder.build(model, folder, options, flavour, capability)
        target = Target(flavour, builder.version(flavour), capability, host.platform_name())
        make_manifest(folder, names, flavour, SIZE, batch, target=target).write(folder)
        return folder, reference

    return make


def _pairs(number: int, count: int = 1) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(5)
    shape = (2, count, *SIZE, 3)
    return [tuple(rng.integers(0, 256, shape, np.uint8)) for _ in range(number)]


def _check(maps, wanted) -> None:
    for found, name in zip(maps, ("damage", "building", "confidence"), strict=True):
        np.testing.assert_array_equal(found, getattr(wanted, name))


def test_pairs_are_answered_as_by_onnx_runtime(small_engine, device):
    folder, reference = small_engine()
    with load_engine(folder) as engine, load_engine(reference) as expected:
        for pair in _pairs(3):
            result = engine.predict(*pair)
            _check((result.damage, result.building, result.confidence), expected.predict(*pair))


def test_many_pairs_overlap_and_keep_their_order(small_engine, device):
    folder, reference = small_engine()
    batch = _pairs(50)
    with load_engine(folder) as engine, load_engine(reference) as expected:
        for maps, pair in zip(engine._backend.infer_many(batch), batch, strict=True):
            _check(maps, expected.predict(*pair))


def test_a_batch_range_takes_every_size(small_engine, device):
    folder, reference = small_engine((1, 2, 4))
    batches = [_pairs(1, size)[0] for size in (1, 4, 2, 3, 1)]
    with load_engine(folder) as engine, load_engine(reference) as expected:
        for maps, pair in zip(engine._backend.infer_many(batches), batches, strict=True):
            _check(maps, expected.predict(*pair))


def test_engines_come_and_go(small_engine, device):
    folder, reference = small_engine()
    (pair,) = _pairs(1)
    with load_engine(reference) as expected:
        wanted = expected.predict(*pair)
    for _ in range(20):
        with load_engine(folder) as engine:
            result = engine.predict(*pair)
            _check((result.damage, result.building, result.confidence), wanted)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_network_agrees_with_fp32_on_onnx_runtime(
    flavour, device, precision, small_checkpoint, command, tmp_path, synthetic, floorless
):
    folders = {}
    for name, target in ((precision, flavour), ("fp32", "onnxruntime")):
        folders[target] = tmp_path / target
        built = command(
            "export.build_engine", f"--{name}", "--checkpoint", small_checkpoint, "--size", 96, 96,
            "--target", target, "--out", folders[target], *floorless,
        )  # fmt: skip
        assert built.returncode == 0, built.stderr
    images = sorted((synthetic / "test" / "images").glob("*_pre_disaster.png"))
    assert images
    from runtime.source.picture import read_image

    with load_engine(folders[flavour]) as engine, load_engine(folders["onnxruntime"]) as expected:
        for path in images:
            post = path.with_name(path.name.replace("_pre_", "_post_"))
            pair = read_image(path), read_image(post)
            agreement = np.mean(engine.predict(*pair).damage == expected.predict(*pair).damage)
            assert agreement >= (0.9999 if precision == "fp32" else 0.99)


def test_overlapping_is_no_slower(small_engine, device, capsys):
    folder, _ = small_engine()
    batch = _pairs(500)
    with load_engine(folder) as engine:
        list(engine._backend.infer_many(batch[:50]))
        begin = time.perf_counter()
        for pre, post in batch:
            engine.predict(pre, post)
        middle = time.perf_counter()
        list(engine._backend.infer_many(batch))
        end = time.perf_counter()
    alone, overlapped = (middle - begin) / len(batch), (end - middle) / len(batch)
    with capsys.disabled():
        print(f"\n{device}: {alone * 1e3:.3f} ms a pair alone, {overlapped * 1e3:.3f} overlapped")
    assert overlapped < 1.1 * alone

"""What is wrong with an engine or a machine is said in one line, before a plan is loaded."""

from __future__ import annotations

import contextlib
import ctypes

import pytest


def test_another_gpu_is_refused(make_plan, refusal):
    kind, message = refusal(make_plan(), HOST_CUDA_CAPABILITY="7.2")
    assert kind == "TargetMismatchError"
    assert (
        "built for compute capability 8.6, this process sees GPU 0 (host memory, compute "
        "capability 7.2); rebuild on this machine with" in message
    )


def test_an_engine_without_a_capability_is_not_judged_by_it(make_plan, passes):
    passes(make_plan(capability=None), "load_engine(FOLDER).close()", HOST_CUDA_CAPABILITY="7.2")


@pytest.mark.parametrize(
    ("backend", "module", "here", "requirement"),
    [
        ("tensorrt", "tensorrt", "10.9.0", "tensorrt==10.3.*"),
        ("tensorrt", "tensorrt", "11.3.0", "tensorrt==10.3.*"),
        ("tensorrt", "tensorrt_lean", "10.2.1", "tensorrt==10.3.*"),
        ("tensorrt-rtx", "tensorrt_rtx", "1.6.1.27", "tensorrt-rtx==1.7.*"),
    ],
)
def test_another_release_is_refused(make_plan, refusal, backend, module, here, requirement):
    kind, message = refusal(make_plan(backend), modules={module: here}, absent=("tensorrt",))
    assert kind == "TargetMismatchError"
    assert f"{module} here is {here}; pip install" in message
    assert requirement in message
    assert "rebuild on this machine with python -m export.build_engine" in message


@pytest.mark.parametrize(
    ("backend", "module", "here"),
    [
        ("tensorrt", "tensorrt", "10.3.1"),
        ("tensorrt", "tensorrt_lean", "10.3.0"),
        ("tensorrt", "tensorrt_lean", "11.1.0"),
        ("tensorrt", "tensorrt_dispatch", "10.4.0"),
        ("tensorrt-rtx", "tensorrt_rtx", "1.7.2.0"),
    ],
)
def test_a_release_that_can_load_it_does(make_plan, passes, backend, module, here):
    code = "with load_engine(FOLDER) as engine: print(engine.backend_version)"
    folder = make_plan(backend)
    assert passes(folder, code, modules={module: here}, absent=("tensorrt",)).strip() == here


@pytest.mark.parametrize(
    ("backend", "names"),
    [
        ("tensorrt", ("tensorrt", "tensorrt_lean", "tensorrt_dispatch")),
        ("tensorrt-rtx", ("tensorrt_rtx",)),
    ],
)
def test_a_missing_library_is_named_with_its_package(make_plan, refusal, backend, names):
    kind, message = refusal(make_plan(backend), modules={}, absent=names)
    assert kind == "BackendError"
    assert all(f"{name}: No module named" in message for name in names)
    assert f'pip install "{backend}==' in message


def test_a_missing_cuda_package_is_named(make_plan, refusal):
    kind, message = refusal(make_plan(), absent=("cuda", "pycuda"))
    assert kind == "BackendError"
    assert "neither cuda-python (" in message
    assert 'pip install "cuda-python>=12.6"' in message


def test_a_missing_driver_is_named(make_plan, refusal, tmp_path):
    with contextlib.suppress(OSError):
        ctypes.CDLL("libcuda.so.1")
        pytest.skip("this machine has an NVIDIA driver")
    kind, message = refusal(make_plan(), modules={}, LD_LIBRARY_PATH=str(tmp_path))
    assert kind == "BackendError"
    assert "there is no NVIDIA driver (libcuda.so.1 cannot be loaded); install" in message
    assert "--target onnxruntime or --target openvino" in message


def test_a_driver_without_a_gpu_is_named(make_plan, refusal):
    kind, message = refusal(make_plan(), HOST_CUDA_NO_DEVICE="1")
    assert kind == "BackendError"
    assert "the NVIDIA driver (libcuda.so.1) finds no GPU" in message


def test_a_plan_that_the_library_refuses_leaves_nothing(make_plan, refusal):
    kind, message = refusal(make_plan(content=b"not a plan"))
    assert kind == "BackendError"
    assert "engine.plan: tensorrt 10.3.0 refused it: no plan:" in message
    assert "rebuild with python -m export.build_engine" in message


@pytest.mark.parametrize(
    ("content", "error", "finding"),
    [
        (b"other release", "TargetMismatchError", "VERSION_MISMATCH"),
        (b"not a plan", "BackendError", "MALFORMED_ENGINE"),
    ],
)
def test_a_plan_that_rtx_finds_unfit_is_not_deserialised(
    make_plan, refusal, content, error, finding
):
    kind, message = refusal(make_plan("tensorrt-rtx", content=content))
    assert kind == error
    assert f"tensorrt-rtx 1.7.1.116 cannot load it ({finding}); rebuild with" in message


def test_a_plan_of_another_size_is_refused_and_leaves_nothing(make_plan, refusal, make_engine):
    folder = make_plan()
    other = make_engine(folder.parent / "other", size=(64, 64))
    folder = _with_plan(folder, (other / "model.onnx").read_bytes())
    kind, message = refusal(folder)
    assert kind == "BackendError"
    assert "is uint8 [1,64,64,3]; expected uint8 [N,32,48,3]" in message


def test_a_profile_narrower_than_the_manifest_is_refused(make_plan, refusal):
    kind, message = refusal(make_plan(batch=(1, 2, 65)))
    assert kind == "BackendError"
    assert "takes 1 to 64 at a time, the manifest says 1 to 65" in message


def test_a_full_gpu_is_named_and_leaves_nothing(make_plan, refusal):
    kind, message = refusal(make_plan(), HOST_CUDA_MEMORY="20000")
    assert kind == "BackendError"
    assert "free the GPU's memory or build the engine with a smaller --batch" in message


def _with_plan(folder, content):
    """Another payload, vouched for by the manifest."""
    import dataclasses

    from runtime.manifest import Manifest, payload_of

    (folder / "engine.plan").write_bytes(content)
    manifest = Manifest.read(folder)
    dataclasses.replace(manifest, payload=payload_of(folder, ["engine.plan"])).write(folder)
    return folder

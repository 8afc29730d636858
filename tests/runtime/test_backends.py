import dataclasses

import pytest

from runtime import host, load_engine
from runtime.cuda import driver
from runtime.errors import BackendError, TargetMismatchError
from runtime.manifest import Target


@pytest.fixture
def tensorrt_folder(make_manifest, tmp_path):
    def make(backend="tensorrt", platform=None, capability="8.6"):
        folder = tmp_path / "engine"
        folder.mkdir()
        (folder / "engine.plan").write_bytes(b"ftrt")
        target = Target(backend, "11.4.0", capability, platform or host.platform_name())
        manifest = dataclasses.replace(make_manifest(folder, ["engine.plan"]), target=target)
        manifest.write(folder)
        return folder

    return make


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx"])
@pytest.mark.parametrize("capability", [None, "8.6"])
def test_without_a_gpu_a_tensorrt_engine_is_refused_with_the_targets_that_run(
    tensorrt_folder, monkeypatch, backend, capability
):
    monkeypatch.setattr(driver, "gpus", list)
    with pytest.raises(BackendError, match=f"a {backend} engine runs on an NVIDIA GPU") as caught:
        load_engine(tensorrt_folder(backend, capability=capability))
    assert "--target onnxruntime or --target openvino" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_gpu_is_a_target_mismatch(tensorrt_folder, monkeypatch):
    monkeypatch.setattr(driver, "gpus", lambda: [driver.Gpu(0, "Xavier", "7.2")])
    expected = r"8\.6, this process sees GPU 0 \(Xavier, compute capability 7\.2\); rebuild on"
    with pytest.raises(TargetMismatchError, match=expected):
        load_engine(tensorrt_folder())


def test_another_platform_is_a_target_mismatch(tensorrt_folder):
    with pytest.raises(TargetMismatchError, match="built for linux-riscv64, this machine is"):
        load_engine(tensorrt_folder(platform="linux-riscv64"))


@pytest.mark.parametrize(
    ("backend", "advice"),
    [
        ("onnxruntime", 'pip install "onnxruntime>=1.16"'),
        ("openvino", "pip install openvino"),
    ],
)
def test_a_missing_library_is_named_with_its_package(
    make_engine, tmp_path, python, blocked, backend, advice
):
    folder = make_engine(tmp_path / "e", backend)
    code = f"""{blocked(backend)}
from runtime import load_engine
from runtime.errors import BackendError
try:
    load_engine({str(folder)!r})
except BackendError as error:
    print(error)
"""
    result = python("-c", code)
    assert result.returncode == 0, result.stderr
    assert advice in result.stdout
    assert len(result.stdout.splitlines()) == 1

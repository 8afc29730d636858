import dataclasses
import os
import re
from pathlib import Path

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


HOMELESS = """
import os, pwd
os.environ.pop("HOME", None)
def nobody(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = nobody
"""
"""A user of a container: a number that has no entry in passwd."""

LOAD = """
import numpy as np, sys
from runtime import load_engine
from runtime.errors import BackendError
with load_engine(sys.argv[1], threads=1) as engine:
    engine.predict(*np.zeros((2, 32, 48, 3), np.uint8))
"""


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_an_engine_runs_for_a_user_without_a_home(make_engine, tmp_path, python, backend):
    folder = make_engine(tmp_path / "e", backend)
    done = python("-c", HOMELESS + LOAD, folder)
    assert done.returncode == 0, done.stderr


OBSERVED = """
import sys
events = []
NAMES = ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.fork", "urllib.Request")
sys.addaudithook(lambda name, _: events.append(name) if name in NAMES else None)
"""

CONVERT = """
from runtime.backends.openvino import load_openvino
load_openvino().convert_model(sys.argv[2])
assert not events, events
"""


def test_openvino_sends_nothing_and_leaves_nothing_in_the_users_home(make_engine, tmp_path, python):
    """Neither when an engine runs nor when one is built; in CI it holds its tongue anyway."""
    folder = make_engine(tmp_path / "e", "openvino")
    home = tmp_path / "home"
    home.mkdir()
    quiet = ("CI", "TF_BUILD", "JENKINS_URL")
    environment = {name: value for name, value in os.environ.items() if name not in quiet}
    environment["HOME"] = str(home)
    code = OBSERVED + LOAD + CONVERT
    done = python("-c", code, folder, tmp_path / "source.onnx", env=environment)
    assert done.returncode == 0, done.stderr
    assert list(home.iterdir()) == []


def test_onnxruntime_sends_nothing_and_leaves_nothing_in_the_users_home(
    make_engine, tmp_path, python
):
    folder = make_engine(tmp_path / "e")
    home = tmp_path / "home"
    home.mkdir()
    quiet = ("CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in quiet}
    environment["HOME"] = str(home)
    code = LOAD + "\nimport os\nprint(len(os.listdir('/proc/self/task')))"
    done = python("-c", code, folder, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert list(home.iterdir()) == []
    plain = done.stdout.splitlines()[-1]
    done = python("-c", code, folder, env=environment | {"ORT_DISABLE_TELEMETRY": "1"})
    assert done.stdout.splitlines()[-1] == plain  # no thread that would send


@pytest.mark.parametrize("library", ["openvino", "onnxruntime"])
def test_a_library_with_telemetry_is_imported_in_one_place(library):
    """Elsewhere it would be on."""
    root = Path(__file__).parents[2]
    packages = ("runtime", "train", "calibration", "export", "benchmarks")
    importing = re.compile(rf"^\s*(import|from) {library}\b", re.MULTILINE)
    found = [
        str(path.relative_to(root))
        for package in packages
        for path in (root / package).rglob("*.py")
        if importing.search(path.read_text())
    ]
    assert found == [f"runtime/backends/{library}.py"]

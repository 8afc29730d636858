"""Engines of the TensorRT backend, and processes in which it runs on the host driver.

Every case is a process of its own: the loader finds the host driver as `libcuda.so.1`,
the CUDA package under test is the real one, and what the driver finds wrong ends it.

pycuda has no wheel. An interpreter that has it may be named in DUAL_HRNET_PYCUDA_PYTHON;
ONNX Runtime then comes from this one, so it must be of the same version of Python.
"""

from __future__ import annotations

import importlib.util
import os
import runpy
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime import host
from runtime.cuda.with_cuda_python import CudaPythonDevice
from runtime.cuda.with_pycuda import PycudaDevice
from runtime.manifest import Target

TESTS = Path(__file__).parents[2]
REPOSITORY = TESTS.parent
HOST_CUDA = TESTS / "host_cuda"
PYCUDA_PYTHON = "DUAL_HRNET_PYCUDA_PYTHON"
SIZE = (32, 48)
VERSIONS = {"tensorrt": "10.3.0", "tensorrt-rtx": "1.7.1.116"}
MODULES = {name.replace("-", "_"): version for name, version in VERSIONS.items()}

Finished = subprocess.CompletedProcess[str]

PREAMBLE = """
import os
import sys
import numpy as np

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
if {modules!r}:
    import tensorrt_double
for each, version in {modules!r}.items():
    sys.modules[each] = tensorrt_double.module(each, version)

from runtime import load_engine
from runtime.backends import tensorrt
from runtime.cuda import with_cuda_python, with_pycuda

Device = {{
    "cuda-python": with_cuda_python.CudaPythonDevice, "pycuda": with_pycuda.PycudaDevice
}}[{provider!r}]
FOLDER = {folder!r}
rng = np.random.default_rng(3)

def image(count=None):
    shape = (*{size!r}, 3) if count is None else (count, *{size!r}, 3)
    return rng.integers(0, 256, shape, np.uint8)

def pairs(number, count=1):
    return [(image(count), image(count)) for _ in range(number)]

def every_order():
    for order in ("late", "eager", "1", "2", "3"):
        os.environ["HOST_CUDA_ORDER"] = order
        yield order

def check(maps, pair):
    with load_engine({reference!r}) as engine:
        wanted = engine.predict(*pair)
    for found, name in zip(maps, ("damage", "building", "confidence"), strict=True):
        if not np.array_equal(found, getattr(wanted, name)):
            sys.exit(f"{{name}} is wrong")
"""


@pytest.fixture(scope="session")
def host_driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the host driver in it."""
    helper = runpy.run_path(str(HOST_CUDA / "build.py"))
    if helper["compiler"]() is None:
        pytest.skip("no C compiler: the host driver cannot be built")
    return helper["build"](tmp_path_factory.mktemp("host_cuda")).parent


@pytest.fixture(scope="session", params=["cuda-python", "pycuda"])
def provider(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A CUDA package, and the interpreter that has it."""
    if request.param == "cuda-python":
        if importlib.util.find_spec("cuda") is None:
            pytest.skip("cuda-python is not installed")
        return request.param, sys.executable
    if other := os.environ.get(PYCUDA_PYTHON):
        return request.param, other
    if importlib.util.find_spec("pycuda") is None:
        pytest.skip(f"pycuda is not installed; name an interpreter that has it in {PYCUDA_PYTHON}")
    return request.param, sys.executable


@pytest.fixture
def make_plan(make_engine, make_manifest, tmp_path) -> Callable[..., Path]:
    """An engine folder whose plan is the small graph; the same for ONNX Runtime beside it."""

    def make(
        backend: str = "tensorrt",
        batch: tuple[int, int, int] = (1, 1, 1),
        version: str | None = None,
        capability: str | None = "8.6",
        platform: str | None = None,
        content: bytes | None = None,
    ) -> Path:
        reference = make_engine(tmp_path / "reference", size=SIZE, batch=batch)
        folder = tmp_path / "engine"
        folder.mkdir()
        graph = (reference / "model.onnx").read_bytes()
        (folder / "engine.plan").write_bytes(graph if content is None else content)
        target = Target(
            backend, version or VERSIONS[backend], capability, platform or host.platform_name()
        )
        make_manifest(folder, ["engine.plan"], backend, SIZE, batch, target=target).write(folder)
        return folder

    return make


@pytest.fixture
def on_host(host_driver: Path, provider: tuple[str, str], tmp_path: Path):
    """Run code after the preamble on the host driver, with one CUDA package."""

    def run(
        folder: Path,
        code: str,
        modules: dict[str, str] | None = None,
        absent: tuple[str, ...] = (),
        **environ: str,
    ) -> Finished:
        name, python = provider
        others = {"cuda-python": "pycuda", "pycuda": "cuda"}
        script = PREAMBLE.format(
            absent=(others[name], *absent),
            modules=MODULES if modules is None else modules,
            provider=name,
            folder=str(folder),
            reference=str(folder.parent / "reference"),
            size=SIZE,
        )
        # The other interpreter may have nothing but its CUDA package.
        paths = [str(HOST_CUDA), sysconfig.get_path("purelib")]
        libraries = filter(None, [str(host_driver), os.environ.get("LD_LIBRARY_PATH")])
        return subprocess.run(
            [python, "-c", script + code],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=120,
            env={
                **os.environ,
                "LD_LIBRARY_PATH": os.pathsep.join(libraries),
                "PYTHONPATH": os.pathsep.join(paths),
                "XDG_CACHE_HOME": str(tmp_path / "cache"),
                "OMP_NUM_THREADS": "1",
                **environ,
            },
        )

    return run


@pytest.fixture
def passes(on_host):
    """Run code that must end well, with nothing left behind; what it printed."""

    def run(folder: Path, code: str, **options) -> str:
        result = on_host(folder, code, **options)
        assert result.returncode == 0, result.stderr + result.stdout
        return result.stdout

    return run


@pytest.fixture
def is_caught(on_host):
    """Run code with a bug in it: the driver, or the maps, must tell."""

    def run(folder: Path, code: str, message: str, **options) -> None:
        result = on_host(folder, code, **options)
        assert result.returncode != 0, f"nothing was noticed: {result.stdout}"
        assert message in result.stderr, result.stderr

    return run


@pytest.fixture
def refusal(on_host):
    """Load an engine that must be refused; the error's type and its one line."""

    def run(folder: Path, **options) -> tuple[str, str]:
        code = """
from runtime.errors import ToolkitError
try:
    load_engine(FOLDER)
except ToolkitError as error:
    print(type(error).__name__, error, sep="|")
"""
        result = on_host(folder, code, **options)
        assert result.returncode == 0, result.stderr
        (line,) = result.stdout.splitlines()
        kind, message = line.split("|", 1)
        return kind, message

    return run


DEVICES = {"cuda": CudaPythonDevice, "pycuda": PycudaDevice}
"""By the module of each package."""


@pytest.fixture(params=DEVICES)
def device_class(request: pytest.FixtureRequest) -> type[CudaPythonDevice] | type[PycudaDevice]:
    """For tests with NVIDIA's own driver: what opens a device, by each package that is here."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return DEVICES[request.param]

"""Machines with several GPUs: the one that the engine was built for is taken, or the one named."""

from __future__ import annotations

import csv
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[3]

USED = """
import ctypes
driver = ctypes.CDLL("libcuda.so.1")

def used(engine):
    found = ctypes.c_int(-1)
    with engine._backend._device.current():
        driver.cuCtxGetDevice(ctypes.byref(found))
    return found.value

def answers_rightly(engine):
    (pair,) = pairs(1)
    result = engine.predict(*pair)
    check((result.damage, result.building, result.confidence), pair)
"""
REFUSED = """
from runtime.errors import ToolkitError
try:
    load_engine(FOLDER, device=DEVICE)
except ToolkitError as error:
    print(type(error).__name__, error, sep="|")
"""


@pytest.mark.parametrize(
    ("there", "asked", "expected"),
    [
        ("7.2,8.6", None, 1),
        ("8.6,7.2,8.6", None, 0),
        ("8.6,7.2,8.6", 2, 2),
        ("7.2,7.2,8.6,8.6", None, 2),
    ],
)
def test_the_first_gpu_that_fits_is_taken_or_the_one_that_is_named(
    make_plan, passes, there, asked, expected
):
    code = f"""
with load_engine(FOLDER, device={asked}) as engine:
    answers_rightly(engine)
    print(used(engine))
"""
    found = passes(make_plan(), USED + code, HOST_CUDA_CAPABILITY=there)
    assert found.strip() == str(expected)


def test_a_plan_without_a_capability_takes_the_first_or_the_one_that_is_named(make_plan, passes):
    code = """
for device in (None, 1):
    with load_engine(FOLDER, device=device) as engine:
        print(used(engine))
"""
    folder = make_plan(capability=None)
    assert passes(folder, USED + code, HOST_CUDA_CAPABILITY="7.2,8.6").split() == ["0", "1"]


def test_two_engines_work_on_two_gpus(make_plan, passes):
    code = """
engines = [load_engine(FOLDER, device=number) for number in (1, 0)]
for _ in range(2):
    for engine in engines:
        answers_rightly(engine)
print(*map(used, engines))
for engine in engines:
    engine.close()
"""
    assert passes(make_plan(), USED + code, HOST_CUDA_CAPABILITY="8.6,8.6").split() == ["1", "0"]


def test_one_broken_gpu_leaves_the_other_alone(make_plan, passes):
    code = """
first, second = (load_engine(FOLDER, device=number) for number in (0, 1))
driver.hostCudaBreak(0, 700, 0)
first.close()
answers_rightly(second)
with load_engine(FOLDER, device=0) as again:
    answers_rightly(again)
second.close()
"""
    passes(make_plan(), USED + code, HOST_CUDA_CAPABILITY="8.6,8.6")


def test_only_the_visible_ones_are_counted(make_plan, passes):
    code = """
with load_engine(FOLDER) as engine:
    print(used(engine))
"""
    there = {"HOST_CUDA_CAPABILITY": "8.6,7.2,8.6", "CUDA_VISIBLE_DEVICES": "1,2"}
    assert passes(make_plan(), USED + code, **there).strip() == "1"


@pytest.mark.parametrize(
    ("device", "kind", "says"),
    [
        (None, "TargetMismatchError", "built for compute capability 8.6, this process sees "),
        (1, "TargetMismatchError", "; GPU 1 was asked for; rebuild on this machine with"),
        (2, "ConfigError", "there is no GPU 2 for it; this process sees "),
        (-1, "ConfigError", "--device is -1; expected the number of a GPU, 0 or more"),
    ],
)
def test_a_gpu_that_cannot_be_had_is_answered_with_those_there_are(
    make_plan, passes, device, kind, says
):
    code = f"DEVICE = {device}\n{REFUSED}"
    (line,) = passes(make_plan(), code, HOST_CUDA_CAPABILITY="7.2,8.9").splitlines()
    found, message = line.split("|")
    assert found == kind
    assert says in message
    if device != -1:
        assert (
            "GPU 0 (host memory, compute capability 7.2), "
            "GPU 1 (host memory, compute capability 8.9)" in message
        )


def test_the_command_takes_the_gpu_that_is_named(make_plan, passes, tmp_path):
    for role in ("pre", "post"):
        image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
        Image.fromarray(image).save(tmp_path / f"{role}.png")
    code = f"""
from runtime import predict
opened = []
real = tensorrt.open_device
tensorrt.open_device = lambda number: opened.append(number) or real(number)
for device in ([], ["--device", "2"]):
    arguments = [*map(str, {[str(tmp_path / f"{role}.png") for role in ("pre", "post")]})]
    arguments += ["--engine", FOLDER, "--out", {str(tmp_path / "out")!r} + str(len(device))]
    predict.main(predict.parser().parse_args([*arguments, "--json", *device]))
print(opened)
"""
    found = passes(make_plan(), code, HOST_CUDA_CAPABILITY="7.2,8.6,8.6")
    assert found.splitlines()[-1] == "[1, 2]"


TENSORRT = """
import os, sys
import tensorrt_double
with open(os.environ["SEEN"], "a") as file:
    print(os.environ.get("CUDA_VISIBLE_DEVICES"), file=file)
sys.modules[__name__] = tensorrt_double.module(__name__, "10.3.0")
"""


@pytest.fixture
def batch(make_plan, host_driver, tmp_path):
    """Map eight pairs on Ray and the host driver; exit code, stderr, what the workers saw."""
    for package in ("ray", "pandas", "pyarrow", "cuda"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/tensorrt.py").write_text(TENSORRT)
    rng = np.random.default_rng(0)
    rows = []
    for number in range(8):
        rows.append([f"{number}_{role}.png" for role in ("pre", "post")])
        for name in rows[-1]:
            Image.fromarray(rng.integers(0, 256, (32, 48, 3), np.uint8)).save(tmp_path / name)
    with (tmp_path / "pairs.csv").open("w") as file:
        csv.writer(file).writerows([["pre", "post"], *rows])
    seen = tmp_path / "seen"

    def run(*options, **environ):
        result = subprocess.run(
            [
                sys.executable, "-m", "runtime.batch", "--engine", make_plan(), "--pairs",
                tmp_path / "pairs.csv", "--out", tmp_path / "out", "--threads", "1", *options,
            ],
            cwd=REPOSITORY, capture_output=True, text=True, timeout=200,
            env={
                **os.environ, "SEEN": str(seen), "LD_LIBRARY_PATH": str(host_driver),
                "PYTHONPATH": os.pathsep.join(
                    map(str, (tmp_path / "modules", REPOSITORY / "tests/host_cuda", REPOSITORY))
                ),
                **environ,
            },
        )  # fmt: skip
        return result.returncode, result.stderr, set(seen.read_text().split())

    return run


def test_rays_workers_get_only_the_gpus_that_fit(batch):
    code, stderr, seen = batch("--workers", "2", HOST_CUDA_CAPABILITY="7.2,8.6,8.6")
    assert (code, seen) == (0, {"1", "2"}), stderr


def test_rays_workers_get_the_gpu_that_is_named(batch):
    there = {"HOST_CUDA_CAPABILITY": "7.2,8.6,7.2,8.6", "CUDA_VISIBLE_DEVICES": "3,1"}
    code, stderr, seen = batch("--workers", "2", "--device", "1", **there)
    assert (code, seen) == (0, {"1"}), stderr


def test_the_functions_of_cuda_python_12_6_0_are_found_where_they_are(make_plan, passes, provider):
    """It has `cuda.cuda` and no `cuda.bindings`."""
    if provider[0] == "pycuda":
        pytest.skip("pycuda has one layout")
    code = """
import types
from cuda.bindings import driver as functions
older = types.ModuleType("cuda")
older.__version__, older.cuda, older.__path__ = "12.6.0", functions, []
hidden = {name: module for name, module in sys.modules.items() if name.startswith("cuda.bindings")}
for name in hidden:
    del sys.modules[name]
sys.modules |= {"cuda": older, "cuda.cuda": functions}
with load_engine(FOLDER) as engine:
    answers_rightly(engine)
    print(engine._backend._device.provider)
"""
    assert passes(make_plan(), USED + code).strip() == "cuda-python 12.6.0"

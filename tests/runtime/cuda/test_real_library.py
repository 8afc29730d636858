"""What the real libraries say of a plan where no GPU can be used: one line, and no crash."""

from __future__ import annotations

import pytest

MODULES = {"tensorrt_rtx": "tensorrt-rtx", "tensorrt_lean": "tensorrt"}
CODE = """
import dataclasses, importlib, sys
from pathlib import Path
from runtime.backends.tensorrt_plan import Plan
from runtime.errors import BackendError
from runtime.manifest import Manifest

folder = Path(sys.argv[1])
try:
    Plan(Manifest.read(folder), folder / "engine.plan", importlib.import_module(sys.argv[2]))
except BackendError as error:
    print(error)
"""


@pytest.mark.parametrize("module", MODULES)
def test_the_real_library_refuses_what_is_no_plan(make_plan, python, module):
    pytest.importorskip(module)
    folder = make_plan(MODULES[module], content=b"no plan" * 100)
    result = python("-c", CODE, folder, module)
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    assert "engine.plan: tensorrt" in line
    assert "rebuild with python -m export.build_engine" in line
    if module == "tensorrt_rtx":
        assert "cannot load it (MALFORMED_ENGINE)" in line


def test_the_real_library_knows_a_plan_of_its_own(make_plan, make_engine, python, tmp_path):
    """Its own header is no malformed one, even where there is no GPU to load it on."""
    pytest.importorskip("tensorrt_rtx")
    import onnx

    from export.builders import tensorrt as builder
    from export.deploy import DeployOptions

    side = 64
    graph = make_engine(tmp_path / "graph", size=(side, side)) / "model.onnx"
    options = DeployOptions(side, side)
    plan, _ = builder.compile_graph(onnx.load(graph), options, "tensorrt-rtx", "7.5")
    folder = make_plan("tensorrt-rtx", content=bytes(plan))
    result = python("-c", CODE, folder, "tensorrt_rtx")
    assert result.returncode == 0, result.stderr
    assert "MALFORMED" not in result.stdout
    assert "VERSION_MISMATCH" not in result.stdout


BUILD_THEN_LOAD = """
import gc, importlib, sys
from pathlib import Path
import onnx
from export.builders import tensorrt as builder
from export.deploy import DeployOptions
from runtime.backends.tensorrt_log import process_logger
from runtime.backends.tensorrt_plan import Plan
from runtime.errors import BackendError
from runtime.manifest import Manifest

graph, folder = Path(sys.argv[1]), Path(sys.argv[2])
builder.compile_graph(onnx.load(graph), DeployOptions(64, 64), "tensorrt-rtx", "7.5")
gc.collect()
trt = importlib.import_module("tensorrt_rtx")
del trt.Runtime.get_engine_validity  # which has reasons of its own
with process_logger(trt).heard() as messages:
    for _ in range(2):
        try:
            Plan(Manifest.read(folder), folder / "engine.plan", trt)
        except BackendError as error:
            print(error)
sys.exit("\\n".join(each for each in messages if "logger" in each) or 0)
"""


def test_builder_and_loads_of_one_process_share_the_one_logger(
    make_plan, make_engine, python, tmp_path
):
    """The library warns of a second one, and may speak to the first when that is gone."""
    pytest.importorskip("tensorrt_rtx")
    graph = make_engine(tmp_path / "graph", size=(64, 64)) / "model.onnx"
    folder = make_plan("tensorrt-rtx", content=b"no plan" * 100)
    result = python("-c", BUILD_THEN_LOAD, graph, folder)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 2
    assert all("refused it: " in line and "Error Code" in line for line in lines)

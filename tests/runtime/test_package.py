import pytest

import runtime


def test_importing_the_package_loads_nothing_heavy(python):
    code = """
import sys, runtime, runtime.damage, runtime.errors, runtime.manifest, runtime.backends
print({"numpy", "cv2", "onnxruntime", "openvino", "torch", "onnx"} & set(sys.modules))
"""
    assert python("-c", code).stdout.strip() == "set()"


def test_the_engine_comes_without_opencv_or_an_inference_library(python):
    code = """
import sys
from runtime import load_engine
print({"cv2", "onnxruntime", "openvino", "torch", "onnx"} & set(sys.modules))
"""
    assert python("-c", code).stdout.strip() == "set()"


def test_every_module_imports_without_training_and_inference_libraries(python, blocked):
    code = f"""{
        blocked(
            "torch",
            "onnx",
            "pydantic",
            "yaml",
            "tqdm",
            "onnxruntime",
            "openvino",
            "tensorrt",
            "tensorrt_rtx",
            "train",
            "export",
            "calibration",
        )
    }
import importlib, pkgutil, runtime
needs_more = ("raster", "batch", "watch", "serve")
for module in pkgutil.walk_packages(runtime.__path__, "runtime."):
    if not module.name.startswith(tuple("runtime." + each for each in needs_more)):
        importlib.import_module(module.name)
        print(module.name)
"""
    result = python("-c", code)
    assert result.returncode == 0, result.stderr
    assert "runtime.backends.tensorrt" in result.stdout


def test_the_public_names_are_there():
    assert runtime.load_engine is not None
    assert runtime.Engine.__name__ == "Engine"
    assert runtime.Prediction.__name__ == "Prediction"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = runtime.nothing

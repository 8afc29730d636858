"""Which target `auto` takes, and why."""

from __future__ import annotations

import importlib.util

import pytest

from export import targets
from export.targets import Target
from runtime.errors import ConfigError


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Pretend to be a machine: its GPU's compute capability, and what is installed."""

    def be(gpu: str | None, *installed: str) -> None:
        if "tensorrt-rtx" in installed:
            pytest.importorskip("tensorrt_rtx")  # it is asked which GPUs it knows
        modules = {name.replace("-", "_") for name in installed}
        if "onnxruntime-cuda" in installed:  # another wheel of the same package
            modules.add("onnxruntime")
        monkeypatch.setattr(targets, "has_cuda_provider", lambda: "onnxruntime-cuda" in installed)
        monkeypatch.setattr(targets, "compute_capability", lambda: gpu)
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: object() if name in modules else None
        )

    return be


ALL = ("tensorrt", "tensorrt-rtx", "openvino", "onnxruntime")
CUDA = ("onnxruntime-cuda", "openvino")


@pytest.mark.parametrize(
    ("gpu", "installed", "precision", "name", "capability"),
    [
        ("8.6", ALL, "fp16", "tensorrt", "8.6"),
        ("8.6", ALL[1:], "fp16", "tensorrt-rtx", "8.6"),
        ("8.6", ALL[2:], "int8", "openvino", None),
        ("8.6", ("tensorrt-rtx", *CUDA), "fp16", "tensorrt-rtx", "8.6"),
        ("9.0", ("tensorrt-rtx", *CUDA), "fp16", "onnxruntime-cuda", None),
        ("9.0", ("tensorrt", *CUDA), "fp16", "tensorrt", "9.0"),
        ("6.1", CUDA, "fp32", "onnxruntime-cuda", None),
        ("6.1", CUDA, "int8", "openvino", None),
        (None, CUDA, "fp32", "openvino", None),
        (None, ALL, "fp32", "openvino", None),
        (None, ALL, "int8", "openvino", None),
        (None, ALL, "fp16", "tensorrt-rtx", "8.6"),
        (None, ("onnxruntime",), "fp32", "onnxruntime", None),
    ],
)
def test_auto_takes_the_first_that_fits(machine, gpu, installed, precision, name, capability):
    machine(gpu, *installed)
    target = targets.choose("auto", precision, None)
    assert (target.name, target.capability) == (name, capability)
    assert target.why


def test_auto_says_why_it_passed_others_over(machine) -> None:
    machine(None, "openvino", "onnxruntime")
    why = targets.choose("auto", "fp32", None).why
    assert why == (
        "tensorrt: no GPU; tensorrt-rtx: not installed; onnxruntime-cuda: no GPU; "
        "openvino is here and offers fp32"
    )


def test_auto_passes_over_a_compiler_that_does_not_know_the_gpu(machine) -> None:
    machine("9.0", "tensorrt-rtx", "openvino")
    target = targets.choose("auto", "int8", None)
    assert target.name == "openvino"
    assert "tensorrt-rtx: does not compile for compute capability 9.0; " in target.why
    assert "; openvino is here" in target.why
    with pytest.raises(ConfigError, match=r"build fp16: .*does not compile for .* 9\.0"):
        targets.choose("auto", "fp16", None)
    names = {target.name for target, _ in targets.offers("auto", None)}
    assert names == {"openvino"}


def test_auto_with_a_named_capability_compiles_for_it(machine) -> None:
    machine(None, *ALL)
    target = targets.choose("auto", "fp32", "7.5")
    assert (target.name, target.capability) == ("tensorrt-rtx", "7.5")


def test_a_named_capability_is_left_to_the_compiler_to_refuse(machine) -> None:
    """Which lists those that it knows."""
    machine("9.0", "tensorrt-rtx", "openvino")
    assert targets.choose("auto", "fp16", "9.9").name == "tensorrt-rtx"


def test_no_target_left_lists_every_reason(machine) -> None:
    machine(None, "openvino", "onnxruntime")
    with pytest.raises(ConfigError, match=r"build fp16: tensorrt: no GPU.*openvino: no fp16"):
        targets.choose("auto", "fp16", None)


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_fp16_is_refused_where_it_gains_nothing(machine, name: str) -> None:
    machine(None, *ALL)
    with pytest.raises(ConfigError, match="an FP16 engine would be no faster; use --fp32 or"):
        targets.choose(name, "fp16", None)


def test_a_capability_means_nothing_to_a_cpu_target(machine) -> None:
    machine(None, *ALL)
    with pytest.raises(ConfigError, match="target openvino runs on the CPU"):
        targets.choose("openvino", "fp32", "8.6")


def test_tensorrt_proper_compiles_for_the_gpu_here_alone(machine) -> None:
    machine("8.7", *ALL)
    assert targets.choose("tensorrt", "fp16", None).capability == "8.7"
    with pytest.raises(ConfigError, match=r"compiles for the GPU that is here \(8.7\) alone"):
        targets.choose("tensorrt", "fp16", "8.6")


def test_the_best_is_sought_on_a_gpu_that_no_compiler_takes(machine) -> None:
    machine("9.0", "tensorrt-rtx", *CUDA)
    found = [(target.name, precision) for target, precision in targets.offers("auto", None)]
    assert found == [("onnxruntime-cuda", "fp32"), ("onnxruntime-cuda", "fp16")]


def test_the_cuda_provider_is_built_for_where_there_is_no_gpu_when_it_is_asked_for(machine) -> None:
    machine(None, *ALL)
    target = targets.choose("onnxruntime-cuda", "fp16", None)
    assert (target.capability, target.on_gpu) == (None, True)


def test_the_cuda_provider_takes_every_gpu_and_so_no_capability(machine) -> None:
    machine("8.6", *ALL, *CUDA)
    with pytest.raises(ConfigError, match="target onnxruntime-cuda runs on any NVIDIA GPU"):
        targets.choose("onnxruntime-cuda", "fp16", "8.6")


def test_the_cuda_provider_has_no_int8(machine) -> None:
    machine("8.6", *ALL, *CUDA)
    with pytest.raises(ConfigError, match="no INT8 convolution.*use --fp32 or --fp16, or --target"):
        targets.choose("onnxruntime-cuda", "int8", None)


def test_unknown_target_lists_the_known(machine) -> None:
    machine(None, *ALL)
    with pytest.raises(
        ConfigError, match="expected auto, tensorrt, tensorrt-rtx, onnxruntime-cuda, openvino"
    ):
        targets.choose("coreml", "fp32", None)


@pytest.mark.parametrize(
    ("target", "gpu", "here"),
    [
        (Target("openvino", None, ""), None, True),
        (Target("onnxruntime", None, ""), "8.6", True),
        (Target("tensorrt-rtx", "8.6", ""), None, False),
        (Target("tensorrt-rtx", "8.6", ""), "8.9", False),
        (Target("tensorrt-rtx", "8.6", ""), "8.6", True),
        (Target("tensorrt", None, ""), None, False),
    ],
)
def test_an_engine_is_measured_itself_where_it_can_run(monkeypatch, target, gpu, here) -> None:
    monkeypatch.setattr(targets, "compute_capability", lambda: gpu)
    assert target.compiled_for_here == here

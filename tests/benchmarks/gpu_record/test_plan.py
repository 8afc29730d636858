"""What is built for a machine: a function of what it has."""

from __future__ import annotations

import pytest

from benchmarks.gpu_record.plan import Box, Job, jobs, targets

RTX = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box("8.6", True, RTX, None), ["tensorrt", "tensorrt-rtx", "onnxruntime-cuda"]),
        (Box("9.0", False, RTX, None), ["onnxruntime-cuda"]),  # Hopper
        (Box("9.0", True, RTX, None), ["tensorrt", "onnxruntime-cuda"]),
        (Box("8.7", True, None, "no wheel"), ["tensorrt"]),  # Jetson
        (Box("8.9", False, None, "no provider"), []),
    ],
)
def test_targets_are_those_whose_engines_run_there(box: Box, expected: list[str]) -> None:
    taken, skipped = targets(box)
    assert taken == expected
    assert {each.what for each in skipped} == {
        "tensorrt", "tensorrt-rtx", "onnxruntime-cuda"
    } - set(taken)  # fmt: skip


def test_what_is_left_out_has_its_reason() -> None:
    _, skipped = targets(Box("9.0", False, RTX, "onnxruntime 1.32.0 has no CUDA provider"))
    assert {each.what: each.why for each in skipped} == {
        "tensorrt": "the Python module tensorrt is not installed",
        "tensorrt-rtx": "it does not compile for compute capability 9.0",
        "onnxruntime-cuda": "onnxruntime 1.32.0 has no CUDA provider",
    }


def test_every_width_size_and_precision_is_timed_the_largest_last() -> None:
    found = jobs(Box("9.0", False, None, None), [48, 32], [1024, 512])
    assert len(found) == len(set(found)) == 8
    assert found[0] == Job("onnxruntime-cuda", "fp32", 32, 512)
    assert found[-1] == Job("onnxruntime-cuda", "fp16", 48, 1024)
    assert found[-1].name == "w48-1024x1024-fp16-onnxruntime-cuda"

"""The record of a machine with a GPU: its form, and what is told where there is none.

Its steps are run with the processor's target in place of a GPU's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu_record import __main__ as gpu_record
from benchmarks.gpu_record import box, table, timing, work
from benchmarks.gpu_record.plan import Box, Job
from runtime.cuda import driver
from runtime.errors import BackendError, ToolkitError

REPORT = """<?xml version="1.0"?><testsuites><testsuite name="pytest" tests="4">
<testcase classname="tests.a" name="works"/>
<testcase classname="tests.a" name="wrong"><failure message="assert 1 == 2&#10;more">x</failure>
</testcase>
<testcase classname="tests.b" name="broken"><error message="no fixture">x</error></testcase>
<testcase classname="tests.b" name="left"><skipped message="tensorrt is absent"/></testcase>
</testsuite></testsuites>"""


@pytest.mark.skipif(bool(driver.gpus()), reason="a GPU is here")
def test_a_machine_without_a_gpu_is_told_in_one_line(error_line: Callable, tmp_path: Path) -> None:
    line = error_line("benchmarks.gpu_record", "--out", tmp_path / "record.json")
    assert line.endswith(
        "and everything here is measured on an NVIDIA GPU; give the command on a machine with one"
    )
    assert not (tmp_path / "record.json").exists()


def test_a_size_that_no_engine_has_is_refused_first(error_line: Callable, tmp_path: Path) -> None:
    line = error_line("benchmarks.gpu_record", "--out", tmp_path / "r.json", "--sides", 1000)
    assert "--sides 1000: expected a positive multiple of 32" in line


def test_the_libraries_that_are_looked_for_are_found_or_have_a_reason() -> None:
    found = box.look(driver.Gpu(0, "H200", "9.0"))
    assert found.capability == "9.0"
    assert found.rtx_capabilities is None or "8.6" in found.rtx_capabilities
    if not driver.gpus():
        assert "onnxruntime" in found.cuda_provider
        with pytest.raises(BackendError):
            box.gpu_here()


def test_a_test_report_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "tests.xml"
    path.write_text(REPORT)
    assert work.count(path) == {
        "passed": 1,
        "failed": {"tests.a::wrong": "assert 1 == 2", "tests.b::broken": "no fixture"},
        "skipped": {"tests.b::left": "tensorrt is absent"},
    }


def test_the_gpu_tests_are_run_where_they_are(tmp_path: Path) -> None:
    """A folder with one of each."""
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_it.py").write_text(
        "import pytest\n@pytest.mark.gpu\ndef test_one(): pass\n"
        "@pytest.mark.gpu\ndef test_two(): assert False\ndef test_other(): assert False\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = gpu: x\n")
    found = work.run_tests(work.Layout(tmp_path), folder)
    assert found["passed"] == 1
    assert [name.rpartition("::")[2] for name in found["failed"]] == ["test_two"]
    with pytest.raises(ToolkitError, match="the tests are in a checkout, not in the wheel"):
        work.run_tests(work.Layout(tmp_path), tmp_path / "nothing")


def test_a_step_that_fails_is_in_the_record_and_ends_nothing() -> None:
    def fails() -> dict[str, Any]:
        raise ToolkitError("out of memory")

    assert work.attempt(fails) == {"error": "out of memory"}
    found = work.attempt(lambda: {"x": 1})
    assert found["x"] == 1
    assert found["took_seconds"] >= 0


def test_a_time_has_its_engine_its_scopes_and_its_samples(make_engine, tmp_path) -> None:
    folder = make_engine(tmp_path / "engine")
    found = json.loads(json.dumps(timing.timed(folder, 0.2)))
    assert found["engine"]["backend"] == "onnxruntime"
    assert found["graph"] is None
    assert set(found["scopes"]) == {"engine", "engine + copies", "end to end"}
    for each in found["scopes"].values():
        assert 0 < each["p50"] <= each["p90"]
        assert len(each["seconds"]) >= 10


def _job(target: str, precision: str = "fp16") -> dict[str, Any]:
    return {"target": target, "precision": precision, "width": 48, "side": 1024}


SCORE = {"score": 0.71, "localization_f1": 0.8, "damage_f1": 0.7}
SCOPES = {"engine": {"p50": 0.0123, "p90": 0.0125, "p99": 0.0126, "seconds": [0.0123]}}
RECORD = {
    "kind": "gpu",
    "gpu": {"name": "NVIDIA H200", "compute_capability": "9.0"},
    "targets": ["tensorrt", "onnxruntime-cuda"],
    "tests": {"passed": 30, "failed": {}, "skipped": {"a": "b"}},
    "comparisons": [
        {"job": _job("tensorrt"), "error": "refused"},
        {"job": _job("onnxruntime-cuda"), "agreement": 0.9991, "score": SCORE},
    ],
    "latency": [
        {"job": _job("tensorrt"), "error": "refused"},
        {"job": _job("onnxruntime-cuda"), "scopes": SCOPES, "graph": True},
    ],
    "skipped": [{"what": "tensorrt-rtx", "why": "it does not compile for 9.0"}],
}


def test_the_row_claims_what_ran_and_nothing_else() -> None:
    tensorrt, cuda = table.rows(RECORD)
    assert tensorrt == "| TensorRT | - | **never** | **never** | nothing |"
    assert cuda == (
        "| ONNX Runtime, CUDA provider | FP16 | yes | yes, on NVIDIA H200 (SM 9.0) | labels "
        "against an FP32 engine on the processor, xView2 score, latency |"
    )


def test_the_summary_tells_failures_and_omissions() -> None:
    said = table.text(RECORD)
    assert "tests: 30 passed, 0 failed, 1 skipped" in said
    assert "fp16 on onnxruntime-cuda: 99.9100% of the labels as FP32's, score 0.7100" in said
    assert "W48 1024x1024 fp16 on tensorrt: not timed: refused" in said
    assert "engine 12.30 ms (p90 12.50), one CUDA graph" in said
    assert "left out: tensorrt-rtx: it does not compile for 9.0" in said


@pytest.mark.slow
def test_every_step_is_taken_and_the_record_is_whole(tmp_path, monkeypatch) -> None:
    """With the processor's target, which stands for the GPU's: everything but the GPU."""
    monkeypatch.setattr("benchmarks.gpu_record.plan.targets", lambda box: (["onnxruntime"], []))
    monkeypatch.setattr("benchmarks.gpu_record.plan.PRECISIONS", ("fp32",))
    monkeypatch.setattr(driver, "gpus", lambda: [driver.Gpu(0, "none", "0.0")])
    for name, value in (("TILES", 24), ("SIDE", 128)):
        monkeypatch.setattr(work, name, value)
    monkeypatch.setattr(
        work, "run_tests", lambda layout: {"passed": 0, "failed": {}, "skipped": {}}
    )
    out = tmp_path / "record.json"
    line = ["--out", out, "--widths", 8, "--sides", 64, "--seconds", 0.2, "data.crop=128"]
    args = gpu_record.parser().parse_args(
        [*map(str, line), "schedule=[{epochs: 2, rate: 0.003}]", "data.workers=0"]
    )
    monkeypatch.setitem(table.TITLES, "onnxruntime", "ONNX Runtime")
    record = gpu_record.measure(args, work.Layout(tmp_path), Box("0.0", False, None, None))
    assert record == json.loads(out.read_text())
    assert "error" not in record["training"], record["training"]
    (compared,), (timed,) = record["comparisons"], record["latency"]
    assert compared["agreement"] == 1
    assert compared["verification"]["status"] == "ran"
    assert compared["score"] == record["training"]["score"]
    assert timed["job"] == {**vars(Job("onnxruntime", "fp32", 8, 64))}
    assert table.rows(record)[0].startswith("| ONNX Runtime | FP32 | yes | yes, on none (SM 0.0) |")

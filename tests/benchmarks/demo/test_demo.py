import json

import pytest

from benchmarks.demo.layout import ENGINES, INT8
from runtime.options import raster_installed

FULL = ("worse images", "their peers", "latency against memory")
"""Of the titles of the steps that --full adds."""


@pytest.fixture(scope="module")
def demo(python, tmp_path_factory):
    """The whole job once, small; about a minute."""
    out = tmp_path_factory.mktemp("demo") / "out"
    result = python("-m", "benchmarks.demo", "--quick", "--out", out, timeout=500)
    assert result.returncode == 0, result.stderr
    return out, result


def test_the_demo_goes_from_data_to_report(demo):
    out, _ = demo
    summary = json.loads((out / "summary.json").read_text())
    by_name = {engine["name"]: engine for engine in summary["engines"]}
    assert set(by_name) == {plan.name for plan in ENGINES if plan.installed}
    for engine in by_name.values():
        assert (engine["score"] is not None) == (engine["status"] == "ran")
        assert bool(engine["latency"]) == (engine["status"] == "ran")
    assert by_name["onnxruntime-fp32"]["parity"]["label_agreement"] >= 0.9999
    page = (out / "report.html").read_text()
    assert all(name in page for name in by_name)
    assert "Not measured" in page
    assert "Not measured" in (out / "report.md").read_text()
    for name in (f"damage.{'tif' if raster_installed() else 'png'}", "overlay.png"):
        assert (out / "map" / name).is_file()


def test_steps_are_numbered_and_the_table_comes_last(demo):
    out, result = demo
    summary = json.loads((out / "summary.json").read_text())
    assert not [step for step in summary["steps"] if step["title"].endswith(FULL)]
    for number, step in enumerate(summary["steps"], 1):
        assert f"[{number}] {step['title']}" in result.stderr
        # The report's command names all others; only its beginning is shown.
        assert step["command"][:150] in result.stderr
    table, results, following, total = result.stdout.split("\n\n")[-4:]
    assert table.startswith("engine")
    assert "onnxruntime-fp32" in table
    assert results.splitlines()[0].startswith(f"report   {out / 'report.html'}")
    assert "open overlay.png first" in results
    assert f"--engine {out / 'engines' / INT8.name} BEFORE AFTER" in following
    assert "no use for a real town" in following
    assert "make demo FULL=1" in following
    assert total.startswith("total")


@pytest.mark.slow
def test_with_full_everything_is_measured(python, tmp_path):
    out = tmp_path / "out"
    result = python("-m", "benchmarks.demo", "--quick", "--full", "--out", out, timeout=550)
    assert result.returncode == 0, result.stderr
    titles = [step["title"] for step in json.loads((out / "summary.json").read_text())["steps"]]
    assert {end for end in FULL for title in titles if title.endswith(end)} == {*FULL}
    assert "Not measured" not in (out / "report.html").read_text()
    assert "FULL=1" not in result.stdout


def test_a_folder_that_no_demo_made_is_refused(python, tmp_path):
    (tmp_path / "precious").touch()
    result = python("-m", "benchmarks.demo", "--quick", "--out", tmp_path)
    assert result.returncode == 2
    assert "is no demo's" in result.stderr
    assert (tmp_path / "precious").exists()


def test_data_inside_the_demos_own_folder_is_refused(python, tmp_path):
    result = python("-m", "benchmarks.demo", "--out", tmp_path, "--data", tmp_path / "data")
    assert result.returncode == 2
    assert "lies in --out" in result.stderr


def test_a_failing_step_ends_the_demo_with_its_command(python, tiny_data, tmp_path):
    result = python("-m", "benchmarks.demo", "--data", tiny_data, "--out", tmp_path / "out")
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: step 1, train, failed")
    assert "python -m train --config" in last
